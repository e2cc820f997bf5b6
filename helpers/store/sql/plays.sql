-- Plays: one row per viewer and video, from the sessions in the window.
-- Keys are hashed to integers once (64 bits; viewer_keys proves that no two share a hash), and the
-- sessions are then read from that small table, which sql/features.sql reads too.
CREATE OR REPLACE TEMP TABLE keyed AS
SELECT
    hash(visitor_key) AS viewer,
    hash(media_id) AS video,
    epoch_us(received_at) AS moment,
    percent_viewed,
    CASE WHEN coalesce(city, region, country) IS NOT NULL THEN hash(city, region, country) END
        AS place,
    -- The e-mail gate (turnstile) identifies a viewer; every other form or click is a conversion.
    coalesce(regexp_matches(conversion_type, 'e-?mail|turnstile', 'i'), false) AS gate,
    conversion_type IS NOT NULL AND NOT gate AS clicked
FROM sessions;

CREATE OR REPLACE TEMP TABLE viewer_keys AS
SELECT hash(visitor_key) AS viewer, visitor_key
FROM (SELECT DISTINCT visitor_key FROM sessions);

SELECT CASE WHEN count(*) > count(DISTINCT viewer)
            THEN error('two visitor_keys share a hash of 64 bits') END
FROM viewer_keys;

CREATE OR REPLACE TEMP TABLE video_keys AS
SELECT hash(media_id) AS video, media_id, row_number() OVER (ORDER BY media_id DESC) AS precedence
FROM (SELECT DISTINCT media_id FROM sessions);

CREATE OR REPLACE TEMP TABLE played AS
SELECT
    viewer,
    video,
    count(*) AS sessions,
    max(percent_viewed) AS best,
    sum(percent_viewed) AS watched,
    min(moment) AS first_moment,
    max(moment) AS last_moment,
    bool_or(clicked) AS clicked,
    bool_or(gate) AS gate
FROM keyed
GROUP BY viewer, video;

CREATE OR REPLACE TEMP VIEW new_plays AS
SELECT
    visitor_key,
    media_id,
    sessions,
    best,
    watched,
    make_timestamptz(first_moment) AS first_at,
    make_timestamptz(last_moment) AS last_at,
    clicked,
    gate
-- In order of viewers: a key stands once in a part of the file. Numbers are sorted, not long keys.
FROM (FROM played ORDER BY viewer)
JOIN viewer_keys USING (viewer)
JOIN video_keys USING (video);
