-- Sessions of a bounded sample of viewers, drawn again. A key is "viewer#draw":
-- draws 1 to {draws} take as many of a viewer's sessions as there are, with replacement;
-- draws "a" and "b" are the two halves of the sessions at random, for split-half agreement.
-- Random numbers are hashes of row, draw and seed, so that a run repeats exactly.
WITH chosen AS (
    SELECT viewer, members.cluster, session_count
    FROM members JOIN viewers USING (visitor_key)
    WHERE session_count BETWEEN 2 AND {longest}
    QUALIFY row_number() OVER (
        PARTITION BY members.cluster ORDER BY hash(visitor_key, {seed}), visitor_key
    ) <= {per_cluster}
), numbered AS (
    SELECT chosen.*, sessions.* EXCLUDE (visitor_key), row_number() OVER (
        PARTITION BY viewer ORDER BY hash(event_key, {seed}), event_key
    ) - 1 AS place
    FROM sessions JOIN members USING (visitor_key) JOIN chosen USING (viewer)
), drawn AS (
    SELECT numbered.viewer, draw, (hash(numbered.viewer, place, draw, {seed}) % session_count)::BIGINT AS place
    FROM numbered, range(1, {draws} + 1) AS draws(draw)
)
SELECT concat(viewer, '#', draw) AS visitor_key, numbered.* EXCLUDE (viewer, cluster, session_count, place)
FROM drawn JOIN numbered USING (viewer, place)
UNION ALL BY NAME
SELECT concat(viewer, '#', if(place % 2 = 0, 'a', 'b')) AS visitor_key,
       numbered.* EXCLUDE (viewer, cluster, session_count, place)
FROM numbered
