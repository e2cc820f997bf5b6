-- Ground of the older analysis: who is in which cluster (members), and what each played (a
-- row per viewer and video).
CREATE OR REPLACE TEMP TABLE members AS
SELECT hash(visitor_key) AS viewer, visitor_key, cluster
FROM viewers;

CREATE OR REPLACE TEMP TABLE member_plays AS
WITH played AS (
    SELECT
        hash(visitor_key) AS viewer,
        media_id,
        count(*) AS sessions,
        max(percent_viewed) AS best,
        favg(percent_viewed) AS mean_percent,
        min(received_at) AS first_at
    FROM sessions
    GROUP BY ALL
)
SELECT viewer, cluster, media_id, sessions, best, mean_percent, first_at
FROM played JOIN members USING (viewer);
