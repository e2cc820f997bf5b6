-- Minutes watched: of each viewer and video its length times the largest share seen; by cluster, by
-- video, and in all. known_sessions and timed_viewers are of videos with a known length.
SELECT
    cluster,
    media_id,
    count(DISTINCT visitor_key) AS viewers,
    count(DISTINCT visitor_key) FILTER (duration > 0) AS timed_viewers,
    coalesce(sum(sessions), 0) AS sessions,
    coalesce(sum(sessions) FILTER (duration > 0), 0) AS known_sessions,
    coalesce(fsum(best * duration), 0) / 60 AS minutes
FROM plays
JOIN viewers USING (visitor_key)
LEFT JOIN (
    SELECT media_id, any_value(duration) AS duration FROM medias GROUP BY media_id
) USING (media_id)
GROUP BY GROUPING SETS ((cluster), (media_id), ())
