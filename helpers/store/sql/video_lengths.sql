-- How far each video was watched: its sessions and their sum of the share watched, 0 to 1, with what
-- the variance between viewers needs, since the sessions of one viewer hang together.
SELECT
    media_id,
    count(*) AS viewers,
    sum(sessions)::BIGINT AS sessions,
    sum(watched) AS watched,
    sum(watched * watched) AS squares,
    sum(watched * sessions) AS products,
    sum(sessions * sessions)::BIGINT AS session_squares
FROM plays
GROUP BY media_id
