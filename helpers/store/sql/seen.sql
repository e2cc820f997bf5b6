-- Who had a session in each period, which is {step} long and named by its first day; one of them begins
-- on {start}: viewers by person, an e-mail, which is 0 where none is known. Keys are long; their
-- hashes do to count them.
WITH seen AS (
    SELECT DISTINCT
        time_bucket(INTERVAL {step}, day, DATE '{start}') AS period,
        hash(visitor_key) AS viewer
    FROM sessions
),
known AS (
    SELECT hash(visitor_key) AS viewer, hash(lower(trim(email))) AS person
    FROM viewers
    WHERE identified
)
SELECT period, coalesce(person, 0::UBIGINT) AS person, count(*) AS viewers
FROM seen
LEFT JOIN known USING (viewer)
GROUP BY ALL
