-- Sessions: of all_sessions (one row per event_key, whole store) those that count. The window and
-- the parameters that choose sessions are put in.
SET VARIABLE window_start = DATE '{window.start}';
SET VARIABLE window_end = DATE '{window.end}';
SET VARIABLE media_ids = {media_ids};
SET VARIABLE exclude_domains = {exclude_domains};

-- The videos that count: what chooses sessions stands here, for sql/newcomers.sql reads this too.
CREATE OR REPLACE TEMP VIEW chosen_sessions AS
SELECT * FROM all_sessions
WHERE len(getvariable('media_ids')) = 0 OR list_contains(getvariable('media_ids'), media_id);

-- Of these the window's.
CREATE OR REPLACE TEMP VIEW window_sessions AS
SELECT * FROM chosen_sessions
WHERE received_at >= getvariable('window_start')
  AND received_at < getvariable('window_end') + INTERVAL 1 DAY;

-- Viewers left out by e-mail domain (own staff). A viewer's e-mail is that of the visitor row if
-- it has an "@", else that of the newest session in the window that has one.
CREATE OR REPLACE TEMP TABLE viewer_emails AS
WITH typed AS (
    SELECT visitor_key, arg_max(trim(email), (received_at, trim(email))) AS email
    FROM window_sessions
    WHERE contains(email, '@')
    GROUP BY visitor_key
), known AS (
    SELECT visitor_key, trim(email) AS email FROM visitors WHERE contains(email, '@')
)
SELECT visitor_key, coalesce(known.email, typed.email) AS email
FROM known FULL JOIN typed USING (visitor_key);

CREATE OR REPLACE TEMP TABLE excluded_visitors AS
SELECT visitor_key
FROM viewer_emails
WHERE list_contains(getvariable('exclude_domains'), lower(split_part(email, '@', -1)));

-- {left_out} is true where nobody is left out, so that no visitor_key need be read for that.
CREATE OR REPLACE TEMP VIEW sessions AS
SELECT * FROM window_sessions
WHERE {left_out};
