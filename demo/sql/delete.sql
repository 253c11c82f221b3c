-- Some patterns are deleted.
DELETE FROM pattern_lineage_nodes
WHERE id = ANY(%(ids)s);
