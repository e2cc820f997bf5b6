-- Newcomers: viewers first seen in the {days} days up to {middle} and in as many days after it, each
-- with the sessions until the end of those days, by the run's choice of videos and people.
CREATE OR REPLACE TEMP VIEW chosen_sessions AS
SELECT * FROM all_sessions
WHERE (coalesce(len(getvariable('media_ids')), 0) = 0
       OR list_contains(getvariable('media_ids'), media_id))
  AND visitor_key NOT IN (SELECT visitor_key FROM excluded_visitors);

CREATE OR REPLACE TEMP TABLE arrivals AS
SELECT visitor_key, min(day) AS arrived
FROM chosen_sessions
WHERE day <= DATE '{middle}' + {days}
GROUP BY visitor_key
HAVING min(day) > DATE '{middle}' - {days};

CREATE OR REPLACE TEMP TABLE newcomer_sessions AS
SELECT chosen_sessions.*, arrived
FROM chosen_sessions
JOIN arrivals USING (visitor_key)
WHERE day > DATE '{middle}' - {days} AND day <= DATE '{middle}' + {days};

CREATE OR REPLACE TEMP VIEW newcomers_then AS
SELECT * EXCLUDE (arrived) FROM newcomer_sessions WHERE day <= DATE '{middle}';

CREATE OR REPLACE TEMP VIEW newcomers_now AS
SELECT * EXCLUDE (arrived) FROM newcomer_sessions WHERE arrived > DATE '{middle}';
