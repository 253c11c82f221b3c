UPDATE pattern_lineage_nodes
SET metadata = jsonb_build_object('round', %(round)s::integer)
WHERE id = %(id)s;
