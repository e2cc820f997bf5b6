-- The videos that were played, each with the newest name that a session gives it, where the
-- account's list gives none. video_keys is that of sql/plays.sql.
SELECT media_id, name, named_at
FROM video_keys
LEFT JOIN (
    SELECT
        media_id,
        arg_max(nullif(trim(media_name), ''), received_at) AS name,
        max(received_at) FILTER (trim(media_name) <> '') AS named_at
    FROM sessions
    WHERE media_id NOT IN (SELECT media_id FROM medias WHERE trim(name) <> '')
    GROUP BY media_id
) USING (media_id)
