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
), counted AS (  -- a viewer once for the cluster, once in all, and once for each video
    SELECT cluster, NULL::VARCHAR AS media_id, sessions, known_sessions, minutes FROM by_viewer
    UNION ALL BY NAME
    SELECT sessions, known_sessions, minutes FROM by_viewer
    UNION ALL BY NAME
    SELECT media_id, sessions, known_sessions, minutes FROM watched
)
SELECT
    cluster,
    media_id,
    count(*) AS viewers,
    count(*) FILTER (known_sessions > 0) AS timed_viewers,
    sum(sessions)::BIGINT AS sessions,
    sum(known_sessions)::BIGINT AS known_sessions,
    fsum(minutes) AS minutes
FROM counted
GROUP BY cluster, media_id
