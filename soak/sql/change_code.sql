UPDATE pattern_lineage_nodes
SET pattern_data = jsonb_build_object('code', %(code)s::text)
WHERE id = %(id)s;
