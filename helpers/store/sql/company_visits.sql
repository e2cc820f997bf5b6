-- When each e-mail domain was first seen again, from $since on.
SELECT lower(split_part(trim(viewers.email), '@', -1)) AS domain, min(received_at) AS seen
FROM sessions
JOIN viewers USING (visitor_key)
WHERE identified AND received_at >= $since
GROUP BY domain
