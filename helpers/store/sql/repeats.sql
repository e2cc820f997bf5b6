-- Repeated event_keys: Wistia repeats 0-2 % of its event keys. Among all rows with a key, in the
-- whole store, the largest percent_viewed stays; ties: earliest received_at, then smallest
-- visitor_key, then smallest media_id. Only keys that share a hash with another row can be
-- repeated; those few are ranked. row is the place of a row in its file, and of the file.
CREATE OR REPLACE TEMP TABLE repeated_keys AS
SELECT hash(event_key) AS key_hash
FROM stored_sessions
GROUP BY key_hash
HAVING count(*) > 1;

CREATE OR REPLACE TEMP TABLE dropped_rows AS
SELECT row, day
FROM stored_sessions
WHERE hash(event_key) IN (FROM repeated_keys)
QUALIFY row_number() OVER (
    PARTITION BY event_key
    ORDER BY percent_viewed DESC, received_at, visitor_key, media_id
) > 1;

CREATE OR REPLACE TEMP VIEW all_sessions AS
SELECT * EXCLUDE (row) FROM stored_sessions
WHERE row NOT IN (SELECT row FROM dropped_rows);
