-- Who watched what: viewers of each video by cluster, and by what sql/viewer_choices.sql counts by.
-- A viewer counts once for a video; watched is the sum of the best session of each, 0 to 1.
SELECT
    media_id AS value,
    cluster,
    if(alone, 'one', 'several') AS stratum,
    period::VARCHAR AS period,
    viewers,
    watched
FROM (
    SELECT
        media_id,
        cluster,
        video_count = 1 AS alone,
        -- Days since the year 2000; a date would be slower for as many plays.
        (epoch_us(first_seen) // 86_400_000_000 - 10_957) // $days AS period,
        count(*) AS viewers,
        sum(best) AS watched
    FROM plays
    JOIN viewers USING (visitor_key)
    GROUP BY ALL
)
