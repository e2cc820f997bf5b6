-- A sample of viewers, chosen by a seeded hash: of 0 to 1 of them ($part), what each did.
SELECT visitor_key, cluster, video_count, total_visits, avg_percent_watched
FROM viewers
WHERE hash(visitor_key, $seed) < $part * 18_446_744_073_709_551_615
