-- Groups of each cluster's viewers: by country, and on a mobile device.
-- A viewer counts once in every group of theirs.
WITH parts AS (
    SELECT 'country' AS kind, cluster, country AS name, visitor_key
    FROM viewers
    WHERE regexp_full_match(country, '[A-Z]{2}') -- anything else is no country but text
    UNION ALL
    SELECT 'mobile', cluster, 'mobile', visitor_key
    FROM sessions
    JOIN viewers USING (visitor_key)
    WHERE mobile
)
SELECT kind, cluster, name, count(DISTINCT visitor_key) AS viewers
FROM parts
GROUP BY ALL
