-- Where viewers came from: page and utm values of each viewer's first session, in viewers by cluster
-- and period of the first visit, which is $days long.
WITH first_sessions AS (
    SELECT
        visitor_key,
        any_value(cluster) AS cluster,
        any_value(date_diff('day', DATE '2000-01-01', first_seen::DATE) // $days) AS period,
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
    GROUP BY visitor_key
)
SELECT kind || ' ' || source AS value, cluster, period, count(*) AS viewers
FROM (SELECT cluster, period::VARCHAR AS period, unnest(came) FROM first_sessions)
UNPIVOT (source FOR kind IN (page, utm_source, utm_medium, utm_campaign))
GROUP BY ALL
