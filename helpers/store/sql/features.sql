-- Features: one row of behaviour per viewer, a viewer being a visitor_key with a session in the
-- window. Percentages run from 0 to 100, times are UTC, missing is null. keyed, played, viewer_keys
-- and video_keys are those of sql/plays.sql, which runs before.
CREATE OR REPLACE TEMP TABLE places AS
SELECT hash(city, region, country) AS place, city, region, country
FROM (SELECT DISTINCT city, region, country FROM sessions);

-- A visit is a run of sessions; one that starts 30 minutes or more after the start of the one
-- before begins a new visit. Sessions in order also tell the distinct days and the newest place.
CREATE OR REPLACE TEMP TABLE behaviour AS
WITH ordered AS (
    SELECT *, lag(moment) OVER (PARTITION BY viewer ORDER BY moment) AS previous
    FROM keyed
)
SELECT
    viewer,
    count(*) AS session_count,
    favg(percent_viewed) * 100 AS avg_session_percent,
    count(*) FILTER (previous IS NULL OR moment - previous >= 1_800_000_000) AS total_visits,
    count(*) FILTER (previous IS NULL OR moment // 86_400_000_000 <> previous // 86_400_000_000)
        AS active_days,
    min(moment) AS first_seen,
    max(moment) AS last_active,
    arg_max(place, moment::HUGEINT * 18_446_744_073_709_551_616 + place) AS place
FROM ordered
GROUP BY viewer;

DROP TABLE keyed;

-- Completion: the mean over a viewer's videos of the best session of each. The top video is the one
-- with most sessions, then the higher best, then the smaller id: one number that rises with all three.
CREATE OR REPLACE TEMP TABLE watched AS
SELECT
    viewer,
    count(*) AS video_count,
    favg(best) * 100 AS avg_percent_watched,
    fsum(best * duration) / 60 AS minutes_watched,
    arg_max(
        media_id,
        (sessions::HUGEINT * 4_611_686_018_427_387_904 + (best * 4e18)::HUGEINT) * 4_294_967_296
            + precedence
    ) AS top_video
FROM played
JOIN video_keys USING (video)
LEFT JOIN (
    SELECT media_id, any_value(duration) AS duration FROM medias WHERE duration > 0 GROUP BY media_id
)
USING (media_id)
GROUP BY viewer;

CREATE OR REPLACE TEMP VIEW new_features AS
SELECT
    visitor_key,
    nullif(trim(visitors.name), '') AS name,
    viewer_emails.email,
    viewer_emails.email IS NOT NULL AS identified,
    nullif(concat_ws(', ', city, region, country), '') AS location,
    country,
    video_count,
    session_count,
    avg_percent_watched,
    avg_session_percent,
    minutes_watched,
    total_visits,
    active_days,
    make_timestamptz(first_seen) AS first_seen,
    make_timestamptz(last_active) AS last_active,
    top_video
FROM behaviour
JOIN watched USING (viewer)
JOIN viewer_keys USING (viewer)
LEFT JOIN places USING (place)
LEFT JOIN visitors USING (visitor_key)
LEFT JOIN viewer_emails USING (visitor_key);
