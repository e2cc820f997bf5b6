-- People to call: one row per e-mail (case folded; several cookies joined), from the identified
-- viewers and what they played (identified_plays: a row per viewer and video). intent names the
-- videos whose titles speak of buying; next_videos the best to send, by cluster and rank. $now is
-- the end of the window.
CREATE OR REPLACE TEMP TABLE people AS
WITH cookies AS (
    SELECT lower(trim(email)) AS person, viewers.* FROM viewers WHERE identified
), main AS (
    -- The cookie that watched most speaks for the person: its cluster, its spelling.
    SELECT person, count(*) AS cookies, sum(total_visits)::BIGINT AS visits,
           arg_max(cookies.visitor_key, (video_count * avg_percent_watched, last_active, visitor_key))
               AS visitor_key
    FROM cookies GROUP BY person
), per_video AS (
    SELECT person, media_id, max(best) AS best, max(last_at) AS last_at,
           bool_or(converted) AS converted
    FROM identified_plays JOIN cookies USING (visitor_key)
    GROUP BY person, media_id
), watched AS (
    SELECT person, count(*) AS videos, count(*) FILTER (best >= 0.9) AS finished,
           favg(best) AS depth, least(fsum(best), 5) AS worth, max(last_at) AS last_view,
           bool_or(converted) AS converted, coalesce(max(best) FILTER (intent), 0) AS interest,
           arg_max({'title': title, 'at': last_at},
                   (intent AND best >= 0.25, last_at, media_id)) AS told
    FROM per_video JOIN intent USING (media_id)
    GROUP BY person
), suggested AS (
    SELECT person, arg_min(next_videos.title, place) AS next_video
    FROM main JOIN viewers USING (visitor_key)
    JOIN next_videos USING (cluster)
    ANTI JOIN per_video ON per_video.person = main.person
        AND per_video.media_id = next_videos.media_id
    GROUP BY person
)
SELECT
    person,
    split_part(person, '@', -1) AS domain,
    viewers.email,
    viewers.cluster,
    coalesce(viewers.name, any_name) AS name,
    org_name,
    org_title,
    viewers.country,
    cookies,
    visits,
    videos,
    finished,
    depth * 100 AS avg_percent_watched,
    converted,
    last_view,
    epoch($now - last_view) / 3600 AS hours,
    told.title AS told,
    date_diff('day', told.at::DATE, $now::DATE) AS told_days,
    next_video,
    -- The score, 0 to 100: recency halves every week, depth is five videos' worth of watching,
    -- content is how far the furthest video about buying was watched.
    40 * pow(0.5, greatest(hours, 0) / 168) AS recency_points,
    40 * worth / 5 AS depth_points,
    20 * interest AS content_points
FROM main
JOIN viewers USING (visitor_key)
JOIN watched USING (person)
LEFT JOIN suggested USING (person)
LEFT JOIN (
    SELECT visitor_key, nullif(trim(any_value(org_name)), '') AS org_name,
           nullif(trim(any_value(org_title)), '') AS org_title
    FROM visitors GROUP BY visitor_key
) USING (visitor_key)
LEFT JOIN (
    SELECT person, arg_max(name, last_active) AS any_name
    FROM cookies WHERE name IS NOT NULL GROUP BY person
) USING (person)
