-- What lies behind each cluster's means: its viewers' 25th, 50th and 75th percentiles in whole
-- numbers, and how long they watched.
SELECT
    cluster,
    {
        '25th_percentile': round(quantile_cont(video_count, 0.25))::BIGINT,
        '50th_percentile': round(quantile_cont(video_count, 0.5))::BIGINT,
        '75th_percentile': round(quantile_cont(video_count, 0.75))::BIGINT
    } AS videos_per_viewer,
    {
        '25th_percentile': round(quantile_cont(avg_percent_watched, 0.25))::BIGINT,
        '50th_percentile': round(quantile_cont(avg_percent_watched, 0.5))::BIGINT,
        '75th_percentile': round(quantile_cont(avg_percent_watched, 0.75))::BIGINT
    } AS percent_watched,
    {
        '25th_percentile': round(quantile_cont(total_visits, 0.25))::BIGINT,
        '50th_percentile': round(quantile_cont(total_visits, 0.5))::BIGINT,
        '75th_percentile': round(quantile_cont(total_visits, 0.75))::BIGINT
    } AS visits_per_viewer,
    round(favg(minutes_watched), 1) AS avg_minutes_watched,
    round(fsum(minutes_watched) / 60)::BIGINT AS hours_watched,
    count(minutes_watched) AS timed_viewers,
    fsum(video_count * (1 - avg_percent_watched / 100)) AS unseen
FROM viewers
GROUP BY cluster
