-- Clicks and forms beyond the e-mail gate (see sql/plays.sql) by kind, in viewers.
SELECT conversion_type AS kind, count(DISTINCT visitor_key) AS viewers
FROM sessions
WHERE NOT regexp_matches(conversion_type, 'e-?mail|turnstile', 'i')
GROUP BY conversion_type
