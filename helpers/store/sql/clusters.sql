-- Clusters: a row for every rule in the order of the file, empty ones too. Shares run from 0 to 1.
SELECT
    rules.cluster,
    count(visitor_key) AS viewers,
    count(visitor_key) / nullif(sum(count(visitor_key)) OVER (), 0) AS share,
    favg(video_count) AS avg_videos,
    favg(avg_percent_watched) AS avg_percent_watched,
    favg(total_visits) AS avg_visits,
    count(*) FILTER (identified) AS identified_viewers,
    count(*) FILTER (identified) / nullif(count(visitor_key), 0) AS identified_share
FROM rules
LEFT JOIN viewers USING (cluster)
GROUP BY rules.cluster, rules.place
ORDER BY rules.place
