-- What the videos are called. The account's list names a video; of one deleted since, the newest
-- session that has a name does (media_names: newest name of a video in each shard). Of two videos
-- with one title, each has its media_id in the title.
SELECT * REPLACE (
    title || if(count(*) OVER (PARTITION BY title) > 1, ' (' || media_id || ')', '') AS title
)
FROM (
    SELECT
        media_id,
        coalesce(nullif(trim(any_value(medias.name)), ''), any_value(played.name), media_id)
            AS title,
        any_value(duration) AS duration,
        any_value(nullif(trim(folder), '')) AS folder
    FROM (
        SELECT media_id, arg_max(name, (named_at, name)) AS name FROM media_names GROUP BY media_id
    ) AS played
    LEFT JOIN medias USING (media_id)
    GROUP BY media_id
)
