-- Sessions that count, as an analyst has them in hand.
SELECT
    event_key, visitor_key, media_id, title, received_at, percent_viewed, email, country, region,
    city, page, utm_source, utm_medium, utm_campaign, conversion_type
FROM sessions
LEFT JOIN titles USING (media_id)
ORDER BY received_at, event_key
