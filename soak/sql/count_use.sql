-- No change for the sync.
UPDATE pattern_lineage_nodes
SET usage_count = usage_count + 1
WHERE id = %(id)s;
