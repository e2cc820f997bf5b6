-- Groups of each cluster's viewers: by country, on a mobile device, and by part of the week.
-- A viewer counts once in every group of theirs.
WITH watched AS (
    SELECT
        viewers.cluster,
        sessions.visitor_key,
        sessions.mobile,
        sessions.received_at AT TIME ZONE $zone AS local_time
    FROM sessions
    JOIN viewers USING (visitor_key)
),
parts AS (
    SELECT 'country' AS kind, cluster, country AS name, visitor_key
    FROM viewers
    WHERE regexp_full_match(country, '[A-Z]{2}') -- anything else is no country but text
    UNION ALL
    SELECT 'mobile', cluster, 'mobile', visitor_key FROM watched WHERE mobile
    UNION ALL
    SELECT
        'most_active',
        cluster,
        if(isodow(local_time) < 6, 'weekdays', 'weekends')
        || [' 0:00 to 6:00', ' 6:00 to 12:00', ' 12:00 to 18:00', ' 18:00 to 24:00'][
            1 + hour(local_time) // 6
        ],
        visitor_key
    FROM watched
)
SELECT kind, cluster, name, count(DISTINCT visitor_key) AS viewers, NULL::DOUBLE AS best
FROM parts
GROUP BY ALL
UNION ALL
-- best: sum of the best session of each viewer, 0 to 1
SELECT 'video', cluster, media_id, count(*), sum(best)
FROM plays JOIN viewers USING (visitor_key)
GROUP BY ALL
