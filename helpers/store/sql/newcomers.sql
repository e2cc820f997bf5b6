-- Newcomers: viewers first seen in the {days} days up to {middle} and in as many days after it, each
-- with the sessions until the end of those days, by the run's choice of videos and people. Both are
-- looked for in the {before} days before their own: with a longer history behind it the later
-- period would take fewer of those who come back after long for newcomers.
CREATE OR REPLACE TEMP VIEW sessions_until AS
SELECT * FROM chosen_sessions
WHERE day <= DATE '{middle}' + {days}
  AND visitor_key NOT IN (SELECT visitor_key FROM excluded_visitors);

-- Keys are compared by their hashes, which need a tenth of the memory: two of ten million viewers
-- share one with a chance of 1 to 370,000.
CREATE OR REPLACE TEMP TABLE newcomers AS
SELECT viewer, arrived_now <= DATE '{middle}' AS earlier
FROM (
    SELECT
        hash(visitor_key) AS viewer,
        min(day) FILTER (day > DATE '{middle}' - {days} - {before}) AS arrived_then,
        min(day) FILTER (day > DATE '{middle}' - {before}) AS arrived_now
    FROM sessions_until
    GROUP BY viewer
)
WHERE arrived_then > DATE '{middle}' - {days} OR arrived_now > DATE '{middle}';

-- Without the texts that no feature is made of.
CREATE OR REPLACE TEMP TABLE newcomer_sessions AS
SELECT
    sessions_until.* EXCLUDE (
        event_key, email, media_name, org, page, utm_source, utm_medium, utm_campaign
    ),
    earlier
FROM sessions_until
JOIN newcomers ON viewer = hash(visitor_key)
WHERE earlier = (day <= DATE '{middle}');

DROP TABLE newcomers;

CREATE OR REPLACE TEMP VIEW newcomers_then AS
SELECT * EXCLUDE (earlier) FROM newcomer_sessions WHERE earlier;

CREATE OR REPLACE TEMP VIEW newcomers_now AS
SELECT * EXCLUDE (earlier) FROM newcomer_sessions WHERE NOT earlier;
