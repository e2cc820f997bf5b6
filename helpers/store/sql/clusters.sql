-- Clusters: a row for every rule in the order of the file, empty ones too. Shares run from 0 to 1,
-- means are rounded to a tenth. $rules are the names in order; the query for viewers with
-- their cluster is put in.
SELECT
    rules.cluster,
    count(visitor_key) AS viewers,
    count(visitor_key) / nullif(sum(count(visitor_key)) OVER (), 0) AS share,
    round(favg(video_count), 1) AS avg_videos,
    round(favg(avg_percent_watched), 1) AS avg_percent_watched,
    round(favg(total_visits), 1) AS avg_visits,
    count(*) FILTER (identified) AS identified_viewers,
    count(*) FILTER (identified) / nullif(count(visitor_key), 0) AS identified_share
FROM (SELECT unnest($rules) AS cluster, generate_subscripts($rules, 1) AS place) AS rules
LEFT JOIN {viewers} AS viewers USING (cluster)
GROUP BY rules.cluster, rules.place
ORDER BY rules.place
