-- The $most videos with most viewers, and when each was last played.
SELECT media_id, title, duration, count(*) AS viewers, max(last_at) AS last_at
FROM plays
JOIN titles USING (media_id)
GROUP BY ALL
ORDER BY viewers DESC, media_id
LIMIT $most
