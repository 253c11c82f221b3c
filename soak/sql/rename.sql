UPDATE pattern_lineage_nodes
SET
    pattern_name = %(name)s,
    file_path = %(path)s
WHERE id = %(id)s;
