-- What is in the store for the window, in one row. Visitors are those of the whole account; a
-- repeated event_key counts once.
SELECT
    (SELECT count(*) FROM visitors) AS visitors,
    (SELECT count(*) FROM visitors WHERE contains(email, '@')) AS identified_visitors,
    count(*) AS sessions,
    count(DISTINCT visitor_key) AS viewers,
    count(DISTINCT media_id) AS videos,
    min(day) AS first_day,
    max(day) AS last_day,
    (
        SELECT count(*) FROM dropped_rows
        WHERE day BETWEEN getvariable('window_start') AND getvariable('window_end')
    ) AS repeated_rows
FROM window_sessions
