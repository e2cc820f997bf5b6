-- Companies by the e-mail domain of the people listed, those to call first. Company is the name that
-- most of them gave; news holds new or back by domain.
WITH clusters AS (
    SELECT domain, string_agg(cluster || ': ' || people, ', ' ORDER BY cluster) AS clusters
    FROM (SELECT domain, cluster, count(*) AS people FROM listed GROUP BY ALL)
    GROUP BY domain
)
SELECT
    domain AS "Domain",
    mode(company ORDER BY company) AS "Company",
    any_value(news.news) AS "News",
    count(*) AS "People",
    count(*) FILTER (to_call) AS "To Call",
    any_value(clusters) AS "Clusters",
    max(score) AS "Best Score",
    sum(finished)::BIGINT AS "Videos Finished",
    round(sum(minutes_watched), 1) AS "Minutes Watched",
    max(last_viewed_at) AS "Last Viewed At"
FROM listed
JOIN clusters USING (domain)
LEFT JOIN news USING (domain)
WHERE NOT free_mail
GROUP BY domain
ORDER BY "To Call" DESC, "Best Score" DESC, "Domain"
