-- Who converted, by cluster: viewers with a click or form beyond the e-mail gate, viewers that the
-- gate identified, sessions, and sessions with such a click or form, with their sums of squares.
WITH did AS (
    SELECT visitor_key, bool_or(clicked) AS clicked, bool_or(gate) AS gate
    FROM plays
    WHERE clicked OR gate
    GROUP BY visitor_key
),
acted AS (
    SELECT visitor_key, count(*) AS sessions
    FROM sessions
    -- Kinds of the gate are those of sql/plays.sql.
    WHERE NOT regexp_matches(conversion_type, 'e-?mail|turnstile', 'i')
    GROUP BY visitor_key
)
SELECT
    cluster,
    count(*) AS viewers,
    count(*) FILTER (clicked) AS converted,
    count(*) FILTER (gate) AS by_gate,
    sum(session_count)::BIGINT AS sessions,
    coalesce(sum(acted.sessions), 0)::BIGINT AS converting_sessions,
    -- Sums of squares over viewers: the sessions of one viewer hang together.
    coalesce(sum(acted.sessions ** 2), 0)::BIGINT AS converting_squares,
    coalesce(sum(acted.sessions * session_count), 0)::BIGINT AS products,
    sum(session_count ** 2)::BIGINT AS squares
FROM viewers
LEFT JOIN did USING (visitor_key)
LEFT JOIN acted USING (visitor_key)
GROUP BY cluster
