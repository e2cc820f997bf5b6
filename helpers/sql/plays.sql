-- Ground of the analysis: who is in which cluster (members), what each of them played (plays: a row
-- per viewer and video), and what the videos are called (titles). Viewers are integers here.
CREATE OR REPLACE TEMP TABLE members AS
SELECT row_number() OVER (ORDER BY visitor_key)::INTEGER AS viewer, visitor_key, cluster
FROM viewers;

CREATE OR REPLACE TEMP TABLE plays AS
SELECT
    viewer,
    cluster,
    media_id,
    count(*) AS sessions,
    max(percent_viewed) AS best,
    favg(percent_viewed) AS mean_percent,
    min(received_at) AS first_at
FROM sessions JOIN members USING (visitor_key)
GROUP BY viewer, cluster, media_id;

-- The account's list names a video; of one deleted since, the newest session does.
CREATE OR REPLACE TEMP TABLE titles AS
SELECT
    media_id,
    coalesce(nullif(trim(any_value(medias.name)), ''), any_value(played.name), media_id) AS title,
    any_value(duration) AS duration,
    any_value(nullif(trim(folder), '')) AS folder
FROM (
    SELECT media_id, arg_max(nullif(trim(media_name), ''), received_at) AS name
    FROM sessions GROUP BY media_id
) AS played
LEFT JOIN medias USING (media_id)
GROUP BY media_id;
