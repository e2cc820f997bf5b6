-- Features: one row of behaviour per viewer, a viewer being a visitor_key with a session in the
-- window. Percentages run from 0 to 100, times are UTC, missing is null.
WITH per_video AS (
    SELECT
        visitor_key,
        media_id,
        count(*) AS session_count,
        max(percent_viewed) AS best
    FROM sessions
    GROUP BY visitor_key, media_id
), videos AS (
    SELECT
        visitor_key,
        count(*) AS video_count,
        favg(best) * 100 AS avg_percent_watched,
        first(media_id ORDER BY session_count DESC, best DESC, media_id) AS top_video
    FROM per_video
    GROUP BY visitor_key
), starts AS (
    -- A visit is a run of sessions; one that starts 30 minutes or more after the start of the one
    -- before begins a new visit.
    SELECT
        *,
        coalesce(
            received_at - lag(received_at) OVER (PARTITION BY visitor_key ORDER BY received_at)
                >= INTERVAL 30 MINUTE,
            true
        ) AS begins_visit
    FROM sessions
), behaviour AS (
    SELECT
        visitor_key,
        count(*) AS session_count,
        favg(percent_viewed) * 100 AS avg_session_percent,
        count(*) FILTER (begins_visit) AS total_visits,
        count(DISTINCT day) AS active_days,
        min(received_at) AS first_seen,
        max(received_at) AS last_active,
        first(
            {'city': city, 'region': region, 'country': country}
            ORDER BY received_at DESC, event_key
        ) FILTER (coalesce(city, region, country) IS NOT NULL) AS place
    FROM starts
    GROUP BY visitor_key
)
SELECT
    behaviour.visitor_key,
    nullif(trim(visitors.name), '') AS name,
    viewer_emails.email,
    viewer_emails.email IS NOT NULL AS identified,
    nullif(concat_ws(', ', place.city, place.region, place.country), '') AS location,
    place.country AS country,
    video_count,
    behaviour.session_count,
    avg_percent_watched,
    avg_session_percent,
    total_visits,
    active_days,
    first_seen,
    last_active,
    top_video
FROM behaviour
JOIN videos USING (visitor_key)
LEFT JOIN visitors USING (visitor_key)
LEFT JOIN viewer_emails USING (visitor_key)
