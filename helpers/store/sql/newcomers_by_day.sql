-- Viewers by day of first session, counted back from {end}, and by cluster under {rules}, the CASE
-- expression made of the clusters file.
SELECT
    date_diff('day', first_seen::DATE, DATE '{end}')::VARCHAR AS days,
    {rules} AS cluster,
    count(*) AS viewers
FROM new_features
GROUP BY ALL
