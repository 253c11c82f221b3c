-- What Qdrant should hold, worked out by the database itself; of some ids only, if any are given.
SELECT
    id,
    pattern_name,
    file_path,
    CASE jsonb_typeof(pattern_data)
        WHEN 'string' THEN (pattern_data #>> '{}')::jsonb ->> 'code'
        ELSE pattern_data ->> 'code'
    END AS code,
    coalesce(metadata, '{}') AS metadata
FROM pattern_lineage_nodes
WHERE pattern_type = 'code' AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s));
