-- What was watched next after a video was watched to at least 75 %: per cluster, and for all
-- viewers (cluster is null). A viewer's videos are in the order in which each was first played.
WITH steps AS (
    SELECT viewer, cluster, media_id, best, lag(best) OVER (
        PARTITION BY viewer ORDER BY first_at, media_id
    ) AS best_before
    FROM plays
), followed AS (
    SELECT cluster, media_id, count(*) AS followers, favg(best) * 100 AS avg_percent_watched
    FROM steps WHERE best_before >= 0.75
    GROUP BY GROUPING SETS ((cluster, media_id), (media_id))
), seen AS (
    SELECT cluster, media_id, count(*) AS seen FROM plays GROUP BY cluster, media_id
), sizes AS (
    SELECT cluster, count(*) AS size FROM members GROUP BY cluster
), candidates AS (
    SELECT sizes.cluster, followed.cluster IS NOT NULL AS own, media_id, title, followers,
           avg_percent_watched, size - coalesce(seen, 0) AS unseen,
           -- Expected completions: how many follow, how far they watch, how many it is new to.
           followers * avg_percent_watched * unseen / size AS worth
    FROM sizes
    JOIN followed ON followed.cluster = sizes.cluster OR followed.cluster IS NULL
    JOIN titles USING (media_id)
    LEFT JOIN seen ON seen.cluster = sizes.cluster AND seen.media_id = followed.media_id
    WHERE followers >= $min_cell AND unseen > 0
    -- All viewers stand in only where too few of the cluster went on.
    QUALIFY own = bool_or(own) OVER (PARTITION BY sizes.cluster)
)
FROM candidates
QUALIFY row_number() OVER (PARTITION BY cluster ORDER BY worth DESC, media_id) <= $most
ORDER BY cluster, worth DESC, media_id
