-- Repeated event_keys: which row of each stays.
-- Wistia repeats 0-2 % of its event keys. Among all rows with a key, in the whole store, the
-- largest percent_viewed stays; ties: earliest received_at, then smallest visitor_key, then
-- smallest media_id. Only keys that share a hash with another row can be repeated; those few are
-- ranked, the rest pass through. row is the place of a row in its file, and of the file.
CREATE OR REPLACE TEMP TABLE row_keys AS
SELECT hash(event_key) AS key_hash, row FROM stored_sessions;

CREATE OR REPLACE TEMP TABLE repeated_rows AS
SELECT row FROM row_keys
WHERE key_hash IN (SELECT key_hash FROM row_keys GROUP BY key_hash HAVING count(*) > 1);

DROP TABLE row_keys;

CREATE OR REPLACE TEMP TABLE ranked_repeats AS
SELECT *, row_number() OVER (
    PARTITION BY event_key
    ORDER BY percent_viewed DESC, received_at, visitor_key, media_id
) AS place
FROM stored_sessions
WHERE row IN (FROM repeated_rows);
