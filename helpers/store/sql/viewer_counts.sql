-- What the viewers cover, in one row.
WITH viewer_counts AS (
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
)
FROM viewer_counts, shared
