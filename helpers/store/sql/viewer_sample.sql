-- A sample of viewers, chosen by a seeded hash: of 0 to 1 of them ($part), what each did.
-- total and squares: sums over a viewer's videos of the best session of each, 0 to 1.
SELECT
    visitor_key,
    cluster,
    video_count,
    total_visits,
    avg_percent_watched,
    sum(best) AS total,
    sum(best * best) AS squares
FROM plays
JOIN viewers USING (visitor_key)
WHERE hash(visitor_key, $seed) < $part * 18_446_744_073_709_551_615
GROUP BY ALL
