-- From rows to viewers, step by step. whole: for counts of few people, what they are counted among.
-- A row without a step is recorded and not shown: its exact total (rows fetched, left out, without a
-- session) would tell what is left of it.
WITH fetched AS (
    SELECT
        (
            SELECT count(*) FROM stored_sessions
            WHERE day BETWEEN getvariable('window_start') AND getvariable('window_end')
        ) AS session_rows,
        (
            SELECT count(*) FROM dropped_rows
            WHERE day BETWEEN getvariable('window_start') AND getvariable('window_end')
        ) AS repeated_rows,
        (SELECT coalesce(sum(session_count), 0)::BIGINT FROM features) AS sessions,
        (SELECT count(*) FROM features) AS viewers,
        (SELECT count(*) FROM visitors) AS visitors
)
SELECT unnest([
    {'name': 'session_rows', 'step': NULL,
     'rows': session_rows, 'whole': NULL},
    {'name': 'repeated_rows', 'step': 'dropped: event_key repeated',
     'rows': repeated_rows, 'whole': NULL},
    {'name': 'left_out_sessions', 'step': NULL,
     'rows': session_rows - repeated_rows - sessions, 'whole': NULL},
    {'name': 'sessions', 'step': 'sessions that count',
     'rows': sessions, 'whole': NULL},
    {'name': 'viewers', 'step': 'viewers',
     'rows': viewers, 'whole': NULL},
    {'name': 'identified_viewers', 'step': 'identified viewers (e-mail known)',
     'rows': (SELECT count(*) FROM features WHERE identified), 'whole': NULL},
    {'name': 'viewers_without_visitor_row', 'step': 'viewers without a visitor row',
     'rows': (SELECT count(*) FROM features ANTI JOIN visitors USING (visitor_key)),
     'whole': viewers},
    {'name': 'visitors', 'step': 'visitors of the account',
     'rows': visitors, 'whole': NULL},
    {'name': 'visitors_without_session', 'step': NULL,
     'rows': (SELECT count(*) FROM visitors ANTI JOIN features USING (visitor_key)),
     'whole': visitors}
], recursive := true)
FROM fetched
