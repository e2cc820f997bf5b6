-- Content affinity: viewers and mean completion (0-100) by cluster and video, and by cluster and
-- folder. A viewer counts once for a video, with the best session; once for a folder.
SELECT 'video' AS kind, media_id AS value, cluster, count(*) AS viewers,
       favg(best) * 100 AS avg_percent_watched
FROM plays
GROUP BY media_id, cluster
UNION ALL
SELECT 'folder', folder, cluster, count(DISTINCT viewer), favg(best) * 100
FROM plays JOIN titles USING (media_id)
WHERE folder IS NOT NULL
GROUP BY folder, cluster
