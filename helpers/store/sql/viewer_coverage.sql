-- What is known of the viewers, a row for each limit: a count, and what it is a share of. A person
-- is an e-mail, a viewer a cookie; both are compared by their hashes, which need less memory.
WITH counted AS (
    SELECT
        count(*) AS viewers,
        count(*) FILTER (identified) AS identified,
        count(*) FILTER (session_count = 1) AS once,
        count(*) FILTER (hash(visitor_key) NOT IN (SELECT hash(visitor_key) FROM visitors))
            AS without_row,
        count(*) FILTER (country IS NULL) AS without_place
    FROM viewers
),
people AS (
    SELECT count(*) AS people, count(*) FILTER (cookies > 1) AS several
    FROM (
        SELECT count(*) AS cookies FROM viewers WHERE identified GROUP BY hash(lower(trim(email)))
    )
)
SELECT
    'identified viewers' AS topic,
    identified AS value,
    viewers AS total,
    'An e-mail is known. All others are a cookie alone and cannot be written to.' AS meaning
FROM counted
UNION ALL
SELECT 'viewers with one session', once, viewers, 'Their cluster rests on a single play.'
FROM counted
UNION ALL
SELECT
    'people with several cookies', several, people,
    'One person, several viewers; anonymous viewers will be split as often.'
FROM people
UNION ALL
SELECT
    'viewers without a visitor row', without_row, viewers,
    'The visitor list does not have them: no name is known.'
FROM counted
UNION ALL
SELECT 'viewers without a place', without_place, viewers, 'Their country is not known.'
FROM counted
