-- What the data cover, in one row. Data-centre networks are known by the name of the IP's owner.
WITH session_counts AS (
    SELECT
        count(*) AS sessions,
        count(*) FILTER (percent_viewed = 0) AS zero_sessions,
        count(*) FILTER (percent_viewed = 1) AS full_sessions,
        count(*) FILTER (regexp_matches(org, $data_centres, 'i')) AS data_centre_sessions,
        count(DISTINCT visitor_key) FILTER (regexp_matches(org, $data_centres, 'i'))
            AS data_centre_viewers,
        count(DISTINCT day) AS days_with_sessions,
        count(*) FILTER (media_id IN (SELECT media_id FROM medias WHERE duration > 0))
            AS sessions_with_length
    FROM sessions
), viewer_counts AS (
    SELECT
        count(*) AS viewers,
        count(*) FILTER (NOT identified) AS anonymous,
        count(*) FILTER (session_count = 1) AS one_session,
        count(*) FILTER (visitor_key NOT IN (SELECT visitor_key FROM visitors)) AS without_row,
        count(*) FILTER (identified) AS identified,
        count(DISTINCT lower(trim(email))) FILTER (identified) AS emails,
        count(*) FILTER (country IS NULL) AS without_place
    FROM viewers
), shared AS (
    SELECT coalesce(sum(cookies), 0)::BIGINT AS split_cookies, count(*) AS split_people
    FROM (
        SELECT count(*) AS cookies FROM viewers WHERE identified
        GROUP BY lower(trim(email)) HAVING count(*) > 1
    )
), orphans AS (
    SELECT count(*) AS sessions_without_row
    FROM sessions WHERE visitor_key NOT IN (SELECT visitor_key FROM visitors)
)
FROM session_counts, viewer_counts, shared, orphans
