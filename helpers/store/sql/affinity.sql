-- Content affinity: viewers and completion (sum over viewers of 0 to 1) by cluster and video, and by
-- cluster and folder. A viewer counts once for a video, with the best session; once for a folder.
SELECT 'video' AS kind, media_id AS value, cluster, count(*) AS viewers, count(*) AS plays,
       fsum(best) AS completion
FROM member_plays
GROUP BY media_id, cluster
UNION ALL
SELECT 'folder', folder, cluster, count(DISTINCT viewer), count(*), fsum(best)
FROM member_plays JOIN titles USING (media_id)
WHERE folder IS NOT NULL
GROUP BY folder, cluster
