-- Completion by cluster and number of videos, many together: each group by its least number.
SELECT
    cluster,
    list_max([n FOR n IN [1, 2, 3, 5, 10, 20] IF n <= video_count]) AS videos,
    count(*) AS viewers,
    round(avg(avg_percent_watched)) AS avg_percent_watched
FROM viewers
GROUP BY ALL
ORDER BY ALL
