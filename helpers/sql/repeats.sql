-- Repeated event_keys: which row of each stays.
-- Wistia repeats 0-2 % of its event keys. Among all rows with a key, in the whole store, the
-- largest percent_viewed stays; ties: earliest received_at, then smallest visitor_key, then
-- smallest media_id. Only keys that share a hash with another row can be repeated; those few are
-- ranked, the rest pass through.
CREATE OR REPLACE TEMP TABLE repeated_hashes AS
SELECT hash(event_key) AS key_hash
FROM stored_sessions
GROUP BY ALL
HAVING count(*) > 1;

CREATE OR REPLACE TEMP TABLE ranked_repeats AS
SELECT *, row_number() OVER (
    PARTITION BY event_key
    ORDER BY percent_viewed DESC, received_at, visitor_key, media_id
) AS place
FROM stored_sessions
WHERE hash(event_key) IN (SELECT key_hash FROM repeated_hashes);
