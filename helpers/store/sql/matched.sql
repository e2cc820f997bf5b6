-- Of the videos and e-mail domains of the parameters, those that a session or a viewer has.
SELECT DISTINCT 'media_ids' AS name, media_id AS value FROM all_sessions
WHERE list_contains(getvariable('media_ids'), media_id)
UNION ALL
SELECT DISTINCT 'exclude_domains', lower(split_part(email, '@', -1)) FROM viewer_emails
WHERE list_contains(getvariable('exclude_domains'), lower(split_part(email, '@', -1)))
