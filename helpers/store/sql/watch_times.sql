-- Viewers by weekday and hour in a time zone; each counts once in an hour of the week. Keys are
-- compared by their hashes: sql/plays.sql proves that no two share one.
SELECT
    ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'][day] AS weekday,
    hour::VARCHAR AS hour,
    count(*) AS viewers
FROM (
    SELECT DISTINCT isodow(local_time) AS day, hour(local_time) AS hour, hash(visitor_key) AS viewer
    FROM (SELECT visitor_key, received_at AT TIME ZONE $zone AS local_time FROM sessions)
)
GROUP BY day, hour
