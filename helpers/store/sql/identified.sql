-- Identified viewers: what each did, and how much each is worth a call and why. $buying are the
-- videos whose titles speak of buying. $offers are what may be sent next (cluster, media_id, title),
-- the best first. $ends is the end of the window, and the other parameters are those of the scores.
-- Which video says most of the viewer: the newest about buying of which a quarter was seen, else the
-- newest.
WITH watched AS (
    SELECT
        visitor_key,
        count(*) FILTER (best >= 0.9) AS finished,
        fsum(best) AS worth,
        bool_or(clicked) AS clicked,
        coalesce(max(best) FILTER (list_contains($buying, media_id)), 0) AS interest,
        arg_max(
            {'media_id': media_id, 'at': last_at},
            (list_contains($buying, media_id) AND best >= 0.25, last_at, media_id)
        ) AS telling,
        list(media_id) AS seen
    FROM plays
    JOIN (SELECT visitor_key FROM viewers WHERE identified) USING (visitor_key)
    GROUP BY visitor_key
),
companies AS (
    SELECT
        visitor_key,
        any_value(nullif(trim(org_name), '')) AS company,
        any_value(nullif(trim(org_title), '')) AS job_title
    FROM visitors
    WHERE trim(org_name) <> '' OR trim(org_title) <> ''
    GROUP BY visitor_key
),
pointed AS (
    SELECT
        viewers.*,
        watched.* EXCLUDE (visitor_key),
        company,
        job_title,
        regexp_replace(trim(title), '\s+', ' ', 'g')[:80] AS telling_title,
        (epoch_us($ends) - epoch_us(last_active)) / 86_400_000_000 AS days,
        0.5 ** (greatest(days, 0) / $half_life) * $recency AS recency_points,
        least(worth, $full_depth) / $full_depth * $depth AS depth_points,
        (least(total_visits, $full_visits) - 1) / ($full_visits - 1) * $visits AS visits_points,
        clicked::DOUBLE * $clicks AS clicks_points,
        interest * $content AS content_points
    FROM viewers
    JOIN watched USING (visitor_key)
    LEFT JOIN companies USING (visitor_key)
    JOIN titles ON titles.media_id = telling.media_id
)
SELECT
    visitor_key,
    lower(trim(email)) AS person,
    trim(email) AS email,
    split_part(person, '@', -1) AS domain,
    name,
    nullif(regexp_extract(name, '^\S+'), '') AS first_name,
    nullif(regexp_extract(name, '(?s)^\S+\s+(.*)', 1), '') AS last_name,
    company,
    job_title,
    country,
    cluster,
    video_count,
    finished,
    avg_percent_watched,
    total_visits,
    minutes_watched,
    first_seen,
    last_active,
    days,
    clicked,
    -- Rounded to a tenth, as it is shown and compared.
    round(recency_points + depth_points + visits_points + clicks_points + content_points, 1)
        AS score,
    recency_points,
    depth_points,
    visits_points,
    clicks_points,
    content_points,
    concat_ws(
        ', ',
        if(finished > 0, 'finished ' || finished, format('watched {:.0f} %', avg_percent_watched))
            || ' of ' || if(video_count = 1, '1 video', format('{:,} videos', video_count)),
        format('“{}” (watched {})', telling_title, strftime(telling.at, '%-d %b %Y')),
        if(total_visits > 1, total_visits || ' visits', NULL),
        if(clicked, 'clicked', NULL)
    ) AS reason,
    [
        offer.title FOR offer IN $offers::STRUCT(cluster VARCHAR, media_id VARCHAR, title VARCHAR)[]
        IF offer.cluster = pointed.cluster AND NOT list_contains(seen, offer.media_id)
    ][1] AS next_video
FROM pointed
