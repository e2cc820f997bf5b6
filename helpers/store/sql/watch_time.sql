-- Minutes watched: of each viewer and video its length times the largest share seen; by cluster, by
-- video, and in all. known_sessions and timed_viewers are of videos with a known length.
WITH watched AS (
    SELECT
        visitor_key,
        cluster,
        media_id,
        sessions,
        if(duration > 0, sessions, 0) AS known_sessions,
        coalesce(best * duration, 0) / 60 AS minutes
    FROM plays
    JOIN viewers USING (visitor_key)
    LEFT JOIN (
        SELECT media_id, any_value(duration) AS duration FROM medias GROUP BY media_id
    ) USING (media_id)
), by_viewer AS (
    SELECT
        visitor_key,
        cluster,
        sum(sessions) AS sessions,
        sum(known_sessions) AS known_sessions,
        fsum(minutes) AS minutes
    FROM watched
    GROUP BY visitor_key, cluster
)
SELECT
    cluster,
    NULL::VARCHAR AS media_id,
    count(*) AS viewers,
    count(*) FILTER (known_sessions > 0) AS timed_viewers,
    coalesce(sum(sessions), 0)::BIGINT AS sessions,
    coalesce(sum(known_sessions), 0)::BIGINT AS known_sessions,
    coalesce(fsum(minutes), 0) AS minutes
FROM by_viewer
GROUP BY ROLLUP (cluster)
UNION ALL
SELECT
    NULL,
    media_id,
    count(*) AS viewers,
    count(*) FILTER (known_sessions > 0) AS timed_viewers,
    coalesce(sum(sessions), 0)::BIGINT AS sessions,
    coalesce(sum(known_sessions), 0)::BIGINT AS known_sessions,
    coalesce(fsum(minutes), 0) AS minutes
FROM watched
GROUP BY media_id
