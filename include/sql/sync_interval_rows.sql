-- For sync_rows: one page of the rows created or updated in [start, end), in id order, whatever their type.
SELECT
    *,
    row_number() OVER (ORDER BY id) AS sync_position
FROM pattern_lineage_nodes
WHERE
    (
        (created_at >= %(start)s AND created_at < %(end)s)
        OR (updated_at >= %(start)s AND updated_at < %(end)s)
    )
    AND id >= %(from_id)s::uuid
ORDER BY id
LIMIT %(page)s
