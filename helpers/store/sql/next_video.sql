-- The next video to send each cluster, best first, from the table followed (sql/followed.sql).
WITH counted AS (
    SELECT cluster, media_id, sum(followers)::BIGINT AS followers, sum(seen)::BIGINT AS seen,
           fsum(completion) / nullif(sum(followers), 0) * 100 AS avg_percent_watched
    FROM followed GROUP BY cluster, media_id
), sizes AS (
    SELECT cluster, count(*) AS size FROM viewers GROUP BY cluster
), candidates AS (
    SELECT sizes.cluster, counted.cluster IS NOT NULL AS own, media_id, title, followers,
           avg_percent_watched, size - coalesce(known.seen, 0) AS unseen,
           -- Expected completions: how many follow, how far they watch, how many it is new to.
           followers * avg_percent_watched * unseen / size AS worth
    FROM sizes
    JOIN counted ON counted.cluster = sizes.cluster OR counted.cluster IS NULL
    JOIN titles USING (media_id)
    LEFT JOIN (SELECT cluster, media_id, seen FROM counted) AS known
        ON known.cluster = sizes.cluster AND known.media_id = counted.media_id
    WHERE followers >= $min_cell AND unseen > 0
    -- All viewers stand in only where too few of the cluster went on.
    QUALIFY own = bool_or(own) OVER (PARTITION BY sizes.cluster)
)
FROM candidates
QUALIFY row_number() OVER (PARTITION BY cluster ORDER BY worth DESC, media_id) <= $most
ORDER BY cluster, worth DESC, media_id
