-- Who watched what: viewers of each video by cluster, and by what sql/viewer_choices.sql counts by.
-- A viewer counts once for a video; watched is the sum of the best session of each, 0 to 1.
SELECT
    media_id AS value,
    cluster,
    if(video_count = 1, 'one', 'several') AS stratum,
    (date_diff('day', DATE '2000-01-01', first_seen::DATE) // $days)::VARCHAR AS period,
    count(*) AS viewers,
    sum(best) AS watched
FROM plays
JOIN viewers USING (visitor_key)
GROUP BY ALL
