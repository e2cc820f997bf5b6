-- What the sessions cover, a row for each limit: a count, and what it is a share of. Data-centre
-- networks are known by the name of the IP's owner.
WITH centres AS (
    SELECT org
    FROM (SELECT DISTINCT org FROM sessions)
    WHERE regexp_matches(
        org,
        'amazon|\baws\b|google (cloud|llc|one vpn)|microsoft|azure|digital ?ocean|ovh|hetzner|'
        || 'linode|akamai|oracle (cloud|corp)|alibaba|tencent|\bm247\b|datacamp|leaseweb|vultr|'
        || 'choopa|constant company|contabo|scaleway|clouvider|gthost|cloudflare|\bvpn\b|nordvpn|'
        || 'protonvpn|hosting|data ?cent(er|re)|servers?\b|colo(cation|crossing)|hostinger|'
        || 'rackspace|fastly|quadranet',
        'i'
    )
),
counted AS (
    SELECT
        count(*) AS sessions,
        count(*) FILTER (percent_viewed = 0) AS zero,
        count(*) FILTER (media_id IN (SELECT media_id FROM medias WHERE duration > 0)) AS measured
    FROM sessions
),
from_centres AS (
    SELECT count(*) AS sessions, count(DISTINCT visitor_key) AS viewers
    FROM sessions
    WHERE org IN (FROM centres)
)
SELECT
    'sessions of exactly 0 %' AS topic,
    zero AS value,
    sessions AS total,
    'Play was pressed and left at once, or the player reported nothing.' AS meaning
FROM counted
UNION ALL
SELECT
    'sessions of videos of known length', measured, sessions,
    'Only these can be compared with what is usual for a length.'
FROM counted
UNION ALL
SELECT
    'sessions from data centres or VPNs', from_centres.sessions, counted.sessions,
    'Bots, monitors, or people behind a VPN.'
FROM counted, from_centres
UNION ALL
SELECT
    'viewers from data centres or VPNs', viewers, (SELECT count(*) FROM viewers),
    'Viewers with such a session.'
FROM from_centres
