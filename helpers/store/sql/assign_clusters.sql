-- Viewers: the features and the cluster of each, by the first rule that matches. {rules} is the
-- CASE expression made of the clusters file.
SELECT *, {rules} AS cluster
FROM features
