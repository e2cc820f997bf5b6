-- What was watched next after a video was watched to at least 75 %: per cluster, and for all
-- viewers (cluster is null). A viewer's videos are in the order in which each was first played.
-- seen: viewers of the cluster that played the video at all.
WITH steps AS (
    SELECT viewer, cluster, media_id, best, lag(best) OVER (
        PARTITION BY viewer ORDER BY first_at, media_id
    ) AS best_before
    FROM member_plays
)
SELECT cluster, media_id, count(*) FILTER (best_before >= 0.75) AS followers,
       coalesce(fsum(best) FILTER (best_before >= 0.75), 0) AS completion, count(*) AS seen
FROM steps
GROUP BY GROUPING SETS ((cluster, media_id), (media_id))
