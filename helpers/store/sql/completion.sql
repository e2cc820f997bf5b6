-- Sessions by the tenth of the video that they saw, the two ends apart.
SELECT
    CASE
        WHEN percent_viewed = 0 THEN '0 exactly'
        WHEN percent_viewed = 1 THEN '100 exactly'
        ELSE format('{}–{}', tenth * 10, tenth * 10 + 10)
    END AS percent_watched,
    count(*) AS sessions
FROM (SELECT percent_viewed, least(floor(percent_viewed * 10), 9)::INT AS tenth FROM sessions)
GROUP BY ALL
