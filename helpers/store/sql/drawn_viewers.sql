-- A bounded sample of each cluster's viewers with two sessions or more, chosen by a seeded hash.
SELECT visitor_key, cluster, session_count
FROM viewers
WHERE session_count BETWEEN 2 AND {longest}
QUALIFY row_number() OVER (
    PARTITION BY cluster ORDER BY hash(visitor_key, {seed}), visitor_key
) <= {per_cluster}
