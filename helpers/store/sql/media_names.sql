-- The newest name of each video among the sessions.
SELECT
    media_id,
    arg_max(nullif(trim(media_name), ''), received_at) AS name,
    max(received_at) FILTER (trim(media_name) <> '') AS named_at
FROM sessions
GROUP BY media_id
