-- Who had a session in each period, which is {step} long and named by its first day; one of them begins
-- on {start}. Keys are long; their hashes do to count them.
CREATE OR REPLACE TEMP TABLE seen AS
SELECT DISTINCT
    time_bucket(INTERVAL {step}, day, DATE '{start}') AS period,
    hash(visitor_key) AS viewer
FROM sessions
