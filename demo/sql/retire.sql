-- Some patterns stop being code.
UPDATE pattern_lineage_nodes
SET pattern_type = 'template'
WHERE id = ANY(%(ids)s);
