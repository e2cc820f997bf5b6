-- Identified viewers: what each did, for the list of people to call. $buying are the videos whose
-- titles speak of buying, $candidates those that may be sent next. Which video says most of the
-- viewer: the newest about buying of which a quarter was seen, else the newest.
WITH watched AS (
    SELECT
        visitor_key,
        count(*) FILTER (best >= 0.9) AS finished,
        fsum(best) AS worth,
        bool_or(clicked) AS clicked,
        coalesce(max(best) FILTER (list_contains($buying, media_id)), 0) AS interest,
        arg_max(
            {'media_id': media_id, 'at': last_at},
            (list_contains($buying, media_id) AND best >= 0.25, last_at, media_id)
        ) AS telling,
        list(media_id) FILTER (list_contains($candidates, media_id)) AS seen
    FROM plays
    JOIN (SELECT visitor_key FROM viewers WHERE identified) USING (visitor_key)
    GROUP BY visitor_key
)
SELECT
    visitor_key,
    lower(trim(viewers.email)) AS person,
    trim(viewers.email) AS email,
    split_part(person, '@', -1) AS domain,
    viewers.name,
    nullif(regexp_extract(viewers.name, '^\S+'), '') AS first_name,
    nullif(regexp_extract(viewers.name, '(?s)^\S+\s+(.*)', 1), '') AS last_name,
    company,
    job_title,
    viewers.country,
    cluster,
    video_count,
    avg_percent_watched,
    total_visits,
    minutes_watched,
    first_seen,
    last_active,
    finished,
    worth,
    clicked,
    interest,
    telling.media_id AS telling_video,
    telling.at AS telling_at,
    seen
FROM viewers
JOIN watched USING (visitor_key)
LEFT JOIN (
    SELECT
        visitor_key,
        any_value(nullif(trim(org_name), '')) AS company,
        any_value(nullif(trim(org_title), '')) AS job_title
    FROM visitors
    GROUP BY visitor_key
) USING (visitor_key)
