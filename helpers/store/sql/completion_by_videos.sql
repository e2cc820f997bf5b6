-- Completion by cluster and number of videos; viewers of 20 videos and more are one group.
SELECT
    cluster,
    least(video_count, 20) AS videos,
    count(*) AS viewers,
    round(avg(avg_percent_watched)) AS avg_percent_watched,
    round(quantile_cont(avg_percent_watched, 0.25)) AS low,
    round(quantile_cont(avg_percent_watched, 0.75)) AS high
FROM viewers
GROUP BY ALL
ORDER BY ALL
