-- Identified people of an earlier run, of its file of viewers.
SELECT
    lower(trim(email)) AS person,
    split_part(person, '@', -1) AS domain,
    arg_max(email, last_active) AS email,
    arg_max(cluster, last_active) AS cluster,
    max(last_active) AS last_active
FROM {viewers}
WHERE identified
GROUP BY person
