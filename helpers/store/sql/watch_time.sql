-- Minutes watched: of each viewer and video its length times the largest share seen; by cluster, and
-- by video. known_sessions and timed_viewers are of videos with a known length; unseen is what was
-- not seen of the videos begun, in whole videos.
WITH watched AS (
    SELECT cluster, media_id, count(*) AS viewers, sum(sessions) AS sessions, fsum(best) AS best
    FROM plays
    JOIN viewers USING (visitor_key)
    GROUP BY cluster, media_id
), timed AS (
    SELECT
        watched.*,
        if(duration > 0, viewers, 0) AS timed_viewers,
        if(duration > 0, sessions, 0) AS known_sessions,
        coalesce(best * duration, 0) / 60 AS minutes
    FROM watched
    LEFT JOIN (
        SELECT media_id, any_value(duration) AS duration FROM medias GROUP BY media_id
    ) USING (media_id)
), clusters AS (
    SELECT cluster, count(*) AS viewers, count(minutes_watched) AS timed_viewers
    FROM viewers
    GROUP BY cluster
)
SELECT
    cluster,
    NULL::VARCHAR AS media_id,
    any_value(clusters.viewers) AS viewers,
    any_value(clusters.timed_viewers) AS timed_viewers,
    sum(sessions)::BIGINT AS sessions,
    sum(known_sessions)::BIGINT AS known_sessions,
    fsum(minutes) AS minutes,
    sum(timed.viewers) - fsum(best) AS unseen
FROM timed
JOIN clusters USING (cluster)
GROUP BY cluster
UNION ALL
SELECT
    NULL,
    media_id,
    sum(viewers)::BIGINT,
    sum(timed_viewers)::BIGINT,
    sum(sessions)::BIGINT,
    sum(known_sessions)::BIGINT,
    fsum(minutes),
    sum(viewers) - fsum(best)
FROM timed
GROUP BY media_id
