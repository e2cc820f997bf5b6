-- Viewers of each cluster by the period of their first visit and the number of videos they watched;
-- those of one video stand apart. A period is $days long.
SELECT
    cluster,
    if(video_count = 1, 'one', 'several') AS stratum,
    (date_diff('day', DATE '2000-01-01', first_seen::DATE) // $days)::VARCHAR AS period,
    least(video_count, 50)::VARCHAR AS number,
    count(*) AS viewers,
    sum(video_count)::BIGINT AS choices
FROM viewers
GROUP BY ALL
