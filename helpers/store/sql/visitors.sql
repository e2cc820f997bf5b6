-- The visitors as they are stored: the newest row of each. met holds the rows of this reading, turn
-- says in which order; the other rows are those of the table so far, which stay where only
-- the top was read.
SELECT * EXCLUDE (turn)
FROM (FROM met UNION ALL BY NAME SELECT *, 0 AS turn FROM ({stored}) WHERE {keep})
QUALIFY row_number() OVER (PARTITION BY visitor_key ORDER BY turn DESC) = 1
ORDER BY visitor_key
