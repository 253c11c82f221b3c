-- Add a tag to the metadata of some rows; their code stays.
UPDATE pattern_lineage_nodes
SET metadata = coalesce(metadata, '{}') || '{"reviewed": true}'
WHERE id = ANY(%(ids)s);
