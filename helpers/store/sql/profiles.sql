-- What lies behind each cluster's means: its viewers' 25th, 50th and 75th percentiles in whole
-- numbers, and how long they watched.
SELECT
    cluster,
    [round(q)::BIGINT FOR q IN quantile_cont(video_count, [0.25, 0.5, 0.75])] AS videos_per_viewer,
    [round(q)::BIGINT FOR q IN quantile_cont(avg_percent_watched, [0.25, 0.5, 0.75])]
        AS percent_watched,
    [round(q)::BIGINT FOR q IN quantile_cont(total_visits, [0.25, 0.5, 0.75])] AS visits_per_viewer,
    round(favg(minutes_watched), 1) AS avg_minutes_watched,
    round(fsum(minutes_watched) / 60)::BIGINT AS hours_watched,
    count(minutes_watched) AS timed_viewers,
    fsum(video_count * (1 - avg_percent_watched / 100)) AS unseen
FROM viewers
GROUP BY cluster
