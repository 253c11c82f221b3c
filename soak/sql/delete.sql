DELETE FROM pattern_lineage_nodes
WHERE id = %(id)s;
