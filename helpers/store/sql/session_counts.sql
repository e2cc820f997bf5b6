-- What the sessions cover, in one row. Data-centre networks are known by the name of the IP's owner.
SELECT
    count(*) AS sessions,
    count(*) FILTER (percent_viewed = 0) AS zero_sessions,
    count(*) FILTER (percent_viewed = 1) AS full_sessions,
    count(*) FILTER (regexp_matches(org, $data_centres, 'i')) AS data_centre_sessions,
    count(DISTINCT visitor_key) FILTER (regexp_matches(org, $data_centres, 'i'))
        AS data_centre_viewers,
    count(*) FILTER (media_id IN (SELECT media_id FROM medias WHERE duration > 0))
        AS sessions_with_length,
    count(*) FILTER (visitor_key NOT IN (SELECT visitor_key FROM visitors)) AS sessions_without_row
FROM sessions
