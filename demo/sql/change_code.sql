-- Edit the code of some rows, in the shape each of them has: an object, or a string that holds JSON.
UPDATE pattern_lineage_nodes
SET pattern_data = CASE jsonb_typeof(pattern_data)
    WHEN 'string' THEN to_jsonb(
        jsonb_set(
            (pattern_data #>> '{}')::jsonb,
            '{code}',
            to_jsonb(((pattern_data #>> '{}')::jsonb ->> 'code') || '# Checked against the empty input.' || chr(10))
        )::text
    )
    ELSE jsonb_set(
        pattern_data,
        '{code}',
        to_jsonb((pattern_data ->> 'code') || '# Checked against the empty input.' || chr(10))
    )
END
WHERE id = ANY(%(ids)s);
