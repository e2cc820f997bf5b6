-- Where viewers came from: the page, and each utm value, of a viewer's first session that has one.
WITH first_touch AS (
    SELECT
        viewer,
        cluster,
        first(page ORDER BY received_at, event_key) FILTER (page IS NOT NULL) AS page,
        first(utm_source ORDER BY received_at, event_key) FILTER (utm_source IS NOT NULL)
            AS utm_source,
        first(utm_medium ORDER BY received_at, event_key) FILTER (utm_medium IS NOT NULL)
            AS utm_medium,
        first(utm_campaign ORDER BY received_at, event_key) FILTER (utm_campaign IS NOT NULL)
            AS utm_campaign
    FROM sessions JOIN members USING (visitor_key)
    GROUP BY viewer, cluster
)
SELECT kind, value, cluster, count(*) AS viewers
FROM first_touch
UNPIVOT (value FOR kind IN (page, utm_source, utm_medium, utm_campaign))
GROUP BY kind, value, cluster
