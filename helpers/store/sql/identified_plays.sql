-- What identified viewers played: a row per viewer and video.
SELECT visitor_key, media_id, max(percent_viewed) AS best, max(received_at) AS last_at,
       bool_or(conversion_type IS NOT NULL) AS converted
FROM sessions JOIN (SELECT visitor_key FROM viewers WHERE identified) USING (visitor_key)
GROUP BY visitor_key, media_id
