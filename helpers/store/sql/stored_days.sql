-- Sessions of the window by {unit} (day or week), none left out between the first and
-- the last.
WITH span AS (
    SELECT unnest(generate_series(min(day), max(day), INTERVAL 1 DAY))::DATE AS day
    FROM window_sessions
)
SELECT
    date_trunc('{unit}', span.day)::DATE AS {unit},
    count(event_key) AS sessions
FROM span
LEFT JOIN window_sessions USING (day)
GROUP BY ALL
ORDER BY ALL
