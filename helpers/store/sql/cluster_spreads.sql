-- What lies behind each cluster's means: the 10, 50 and 90 % points of its viewers.
SELECT
    cluster,
    quantile_cont(video_count, [0.1, 0.5, 0.9]) AS videos_per_viewer,
    quantile_cont(avg_percent_watched, [0.1, 0.5, 0.9]) AS percent_watched,
    quantile_cont(total_visits, [0.1, 0.5, 0.9]) AS visits_per_viewer
FROM viewers
GROUP BY cluster
