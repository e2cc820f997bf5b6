-- Sessions of another period, by the same choice of videos and people as the run's own window.
-- {start} and {end} are UTC days, inclusive.
SELECT * FROM all_sessions
WHERE day BETWEEN DATE '{start}' AND DATE '{end}'
  AND (coalesce(len(getvariable('media_ids')), 0) = 0
       OR list_contains(getvariable('media_ids'), media_id))
  AND visitor_key NOT IN (SELECT visitor_key FROM excluded_visitors)
  AND coalesce(NOT list_contains(
        getvariable('exclude_domains'), lower(split_part(trim(email), '@', -1))), true)
