-- Sessions of the viewers in drawn_viewers, drawn again. A key is "visitor_key#draw":
-- draws 1 to {draws} take as many of a viewer's sessions as there are, with replacement;
-- draws "a" and "b" are the two halves of the sessions at random, for split-half agreement.
-- Random numbers are hashes of row, draw and seed, so that a run repeats exactly.
WITH numbered AS (
    SELECT sessions.*, session_count, row_number() OVER (
        PARTITION BY visitor_key ORDER BY hash(event_key, {seed}), event_key
    ) - 1 AS place
    FROM sessions JOIN drawn_viewers USING (visitor_key)
), drawn AS (
    SELECT visitor_key, draw,
           (hash(concat_ws('#', visitor_key, place, draw, {seed})) % session_count)::BIGINT AS place
    FROM numbered, range(1, {draws} + 1) AS draws(draw)
)
SELECT numbered.* EXCLUDE (session_count, place)
       REPLACE (concat(visitor_key, '#', draw) AS visitor_key)
FROM drawn JOIN numbered USING (visitor_key, place)
UNION ALL BY NAME
SELECT numbered.* EXCLUDE (session_count, place)
       REPLACE (concat(visitor_key, '#', if(place % 2 = 0, 'a', 'b')) AS visitor_key)
FROM numbered
