-- For sync_rows: one page of code patterns in id order.
SELECT
    *,
    row_number() OVER (ORDER BY id) AS sync_position
FROM pattern_lineage_nodes
WHERE
    pattern_type = 'code' /* filter */
    AND id >= %(from_id)s::uuid
    AND id <= %(last_id)s::uuid
ORDER BY id
LIMIT %(page)s
