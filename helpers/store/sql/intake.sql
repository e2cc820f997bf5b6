-- Own sessions as they are stored, from the texts of a file. sheet: a column for each known name
-- ('' where the file has none), and line, the place of a row in the file. label() hides addresses
-- and what cannot be seen, page() gives a part of an address.
-- columns are those of the file, most is what a whole viewing counts as.
SET VARIABLE most = if(list_contains(getvariable('columns'), 'percent_viewed'), 1, 100);
SET VARIABLE has_key = list_contains(getvariable('columns'), 'visitor_key');
SET VARIABLE has_media = list_contains(getvariable('columns'), 'media_id');

CREATE OR REPLACE TEMP TABLE parsed AS
WITH named AS (
    SELECT
        sheet.*,
        label(title) AS media_name,
        coalesce(nullif(label(media_id), ''), label(title)) AS video,
        -- Who is known by an address alone is known by its hash.
        if(contains(visitor_key, '@') AND email = '', visitor_key, email) AS address,
        -- 27.11.2026 is the 27th of November.
        regexp_replace(received_at, '^(\d{1,2})\.(\d{1,2})\.(\d{4})', '\3-\2-\1') AS written,
        try_cast(regexp_replace(if(getvariable('most') = 1, percent_viewed, percent_watched), '^(\d*),(\d+)$', '\1.\2') AS DOUBLE)
            / getvariable('most') AS share
    FROM sheet
)
SELECT
    *,
    if(visitor_key = '' OR contains(visitor_key, '@'), if(address = '', '', left(sha256(lower(address)), 32)), visitor_key)
        AS viewer,
    CASE WHEN regexp_full_match(written, '\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}.*)?')
         THEN try_cast(written AS TIMESTAMPTZ) END AS moment,
    CASE WHEN share BETWEEN -1e-9 AND 1e-9 THEN 0
         WHEN share BETWEEN 1 - 1e-9 AND 1 + 1e-9 THEN 1 ELSE share END AS viewed
FROM named;

-- The first value that cannot be used.
CREATE OR REPLACE TEMP VIEW problems AS
SELECT line, problem.* FROM (
    SELECT line, unnest([
        {'is': viewer = '', 'name': if(getvariable('has_key'), 'visitor_key', 'email'),
         'value': visitor_key, 'expected': 'who watched: a visitor_key or an e-mail'},
        {'is': video = '', 'name': if(getvariable('has_media'), 'media_id', 'title'),
         'value': media_id, 'expected': 'which video: a media_id or a title'},
        {'is': moment IS NULL, 'name': 'received_at', 'value': received_at,
         'expected': 'ISO 8601, such as 2026-11-27T09:30:00Z, or 27.11.2026 09:30'},
        {'is': viewed IS NULL OR viewed NOT BETWEEN 0 AND 1,
         'name': if(getvariable('most') = 1, 'percent_viewed', 'percent_watched'),
         'value': if(getvariable('most') = 1, percent_viewed, percent_watched),
         'expected': if(getvariable('most') = 1, 'a number from 0 to 1; from 0 to 100 it is percent_watched',
                        'a number from 0 to 100')},
        {'is': getvariable('most') = 100 AND viewed > 0 AND viewed < 0.01
               AND (SELECT max(viewed) FROM parsed) <= 0.01,
         'name': 'percent_watched', 'value': percent_watched,
         'expected': 'a number from 0 to 100, and none is above 1; from 0 to 1 it is percent_viewed'},
        {'is': lower(mobile) NOT IN ('', 'true', '1', 'yes', 'false', '0', 'no'),
         'name': 'mobile', 'value': mobile, 'expected': 'true or false, or nothing'}
    ]) AS problem
    FROM parsed
)
WHERE problem.is
ORDER BY line
LIMIT 1;

-- Without an event_key each row is a session of its own, also the same row twice.
CREATE OR REPLACE TEMP VIEW imported AS
WITH rows AS (
    SELECT *, md5(concat_ws('|', viewer, video, epoch_us(moment), viewed)) AS told FROM parsed
)
SELECT
    if(event_key = '', told || '-' || row_number() OVER (PARTITION BY told, event_key ORDER BY line),
       event_key) AS event_key,
    viewer AS visitor_key,
    video AS media_id,
    moment AS received_at,
    viewed AS percent_viewed,
    nullif(media_name, '') AS media_name,
    nullif(address, '') AS email,
    nullif(label(country), '') AS country,
    nullif(label(region), '') AS region,
    nullif(label(city), '') AS city,
    nullif(page(embed_url, 'page'), '') AS page,
    nullif(page(embed_url, 'utm_source'), '') AS utm_source,
    nullif(page(embed_url, 'utm_medium'), '') AS utm_medium,
    nullif(page(embed_url, 'utm_campaign'), '') AS utm_campaign,
    nullif(label(conversion_type), '') AS conversion_type,
    lower(nullif(mobile, '')) IN ('true', '1', 'yes') AS mobile,
    nullif(trim(name), '') AS name
FROM rows;
