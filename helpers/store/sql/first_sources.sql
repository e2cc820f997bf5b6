-- Where viewers came from: page and utm values of each viewer's first session, in viewers by cluster
-- and period of the first visit, which is $days long and counted as in sql/video_choices.sql. Keys
-- are compared by their hashes: sql/plays.sql proves that no two share one.
WITH first_sessions AS (
    SELECT
        any_value(cluster) AS cluster,
        any_value((epoch_us(first_seen) // 86_400_000_000 - 10_957) // $days) AS period,
        arg_min(
            {
                page: page,
                utm_source: utm_source,
                utm_medium: utm_medium,
                utm_campaign: utm_campaign
            },
            event_key
        ) AS came
    FROM sessions
    JOIN viewers USING (visitor_key)
    WHERE received_at = first_seen
    GROUP BY hash(visitor_key)
)
SELECT kind || ' ' || source AS value, cluster, period, count(*) AS viewers
FROM (SELECT cluster, period::VARCHAR AS period, unnest(came) FROM first_sessions)
UNPIVOT (source FOR kind IN (page, utm_source, utm_medium, utm_campaign))
GROUP BY ALL
