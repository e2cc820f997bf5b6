-- Who was where and is where: viewers by cluster in {before} and in {after}. A missing cluster
-- means that the viewer is not in that table: joined, or left.
SELECT before.cluster AS before, after.cluster AS after, count(*) AS viewers
FROM {before} AS before FULL JOIN {after} AS after USING (visitor_key)
GROUP BY ALL
