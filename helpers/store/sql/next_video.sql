-- What was watched next, by cluster: of two videos that a viewer played one after the other, the
-- later one counts where the earlier had been watched to 75 % or more and was not played again
-- after the later one began, so that nothing later is looked at. Keys are compared by their hashes:
-- sql/plays.sql proves that no two share one.
WITH steps AS (
    SELECT
        viewer,
        media_id,
        first_at,
        lag(best) OVER in_order AS best_before,
        lag(last_at) OVER in_order AS last_before
    FROM (SELECT hash(visitor_key) AS viewer, * FROM plays)
    WINDOW in_order AS (PARTITION BY viewer ORDER BY first_at, media_id)
)
SELECT media_id AS value, cluster, count(*) AS "count"
FROM steps
JOIN (SELECT hash(visitor_key) AS viewer, cluster FROM viewers) USING (viewer)
WHERE best_before >= 0.75 AND last_before < first_at
GROUP BY ALL
