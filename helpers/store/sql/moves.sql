-- Viewers of an earlier run and of this one by their clusters; null where one was not there.
SELECT
    earlier.cluster AS cluster_then,
    viewers.cluster AS cluster_now,
    count(*) AS viewers
FROM {viewers} AS earlier
FULL JOIN viewers USING (visitor_key)
GROUP BY ALL
ORDER BY ALL
