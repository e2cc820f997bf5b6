-- Viewers by the number of videos they watched, many together.
SELECT
    CASE
        WHEN video_count < 5 THEN video_count::VARCHAR
        WHEN video_count < 10 THEN '5–9'
        WHEN video_count < 50 THEN '10–49'
        ELSE '50+'
    END AS videos,
    count(*) AS viewers,
    count(*) FILTER (identified) AS identified,
    round(avg(avg_percent_watched)) AS avg_percent_watched
FROM features
GROUP BY ALL
