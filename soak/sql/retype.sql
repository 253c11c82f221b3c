-- A pattern stops being code, or is code again.
UPDATE pattern_lineage_nodes
SET pattern_type = CASE pattern_type WHEN 'code' THEN 'template' ELSE 'code' END
WHERE id = %(id)s;
