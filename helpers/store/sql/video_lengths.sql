-- How far each video was watched: sums over its sessions of the share watched, 0 to 1.
SELECT
    media_id,
    count(*) AS sessions,
    count(DISTINCT visitor_key) AS viewers,
    sum(percent_viewed) AS watched,
    sum(percent_viewed * percent_viewed) AS squares
FROM sessions
GROUP BY media_id
