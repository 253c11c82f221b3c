-- The rows with a pattern id, the newest version first.
SELECT id
FROM pattern_lineage_nodes
WHERE pattern_id = $1::text
ORDER BY created_at DESC NULLS LAST, id;
