-- Viewers by weekday and hour in a time zone; each counts once in an hour of the week.
SELECT
    strftime(received_at AT TIME ZONE $zone, '%a') AS weekday,
    strftime(received_at AT TIME ZONE $zone, '%H')::INT::VARCHAR AS hour,
    count(DISTINCT visitor_key) AS viewers
FROM sessions
GROUP BY ALL
