INSERT INTO pattern_lineage_nodes (
    id, pattern_id, pattern_name, pattern_type, pattern_data, metadata, file_path, language
)
VALUES (
    %(id)s,
    %(id)s::text,
    %(name)s,
    'code',
    jsonb_build_object('code', %(code)s::text),
    jsonb_build_object('round', %(round)s::integer),
    %(path)s,
    'python'
);
