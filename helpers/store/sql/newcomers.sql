-- Newcomers: viewers first seen in the {days} days up to {middle} and in as many days after it, each
-- with the sessions until the end of those days, by the run's choice of videos and people. Both are
-- looked for in the {before} days before their own: with a longer history behind it the later
-- period would take fewer of those who come back after long for newcomers.
CREATE OR REPLACE TEMP VIEW chosen_sessions AS
SELECT * FROM all_sessions
WHERE (coalesce(len(getvariable('media_ids')), 0) = 0
       OR list_contains(getvariable('media_ids'), media_id))
  AND visitor_key NOT IN (SELECT visitor_key FROM excluded_visitors);

CREATE OR REPLACE TEMP TABLE newcomer_sessions AS
WITH arrivals AS (
    SELECT
        visitor_key,
        min(day) FILTER (day > DATE '{middle}' - {days} - {before}) AS arrived_then,
        min(day) FILTER (day > DATE '{middle}' - {before}) AS arrived_now
    FROM chosen_sessions
    WHERE day <= DATE '{middle}' + {days}
    GROUP BY visitor_key
)
SELECT
    visitor_key,
    media_id,
    received_at,
    percent_viewed,
    country,
    region,
    city,
    conversion_type,
    day <= DATE '{middle}' AS earlier
FROM chosen_sessions
JOIN arrivals USING (visitor_key)
WHERE (day <= DATE '{middle}' AND arrived_then > DATE '{middle}' - {days})
   OR (day BETWEEN DATE '{middle}' + 1 AND DATE '{middle}' + {days}
       AND arrived_now > DATE '{middle}');

CREATE OR REPLACE TEMP VIEW newcomers_then AS
SELECT * EXCLUDE (earlier) FROM newcomer_sessions WHERE earlier;

CREATE OR REPLACE TEMP VIEW newcomers_now AS
SELECT * EXCLUDE (earlier) FROM newcomer_sessions WHERE NOT earlier;
