-- Ground of the analysis: who is in which cluster (members), and what each of them played (plays: a
-- row per viewer and video). Viewers are integers here.
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
