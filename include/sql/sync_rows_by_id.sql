-- For sync_rows: the rows with these ids, whatever their type.
SELECT
    *,
    row_number() OVER (ORDER BY id) AS sync_position
FROM pattern_lineage_nodes
WHERE id = any(%(ids)s::uuid [])
