-- Rows arrive as the applications of an installation write them: in bulk, with their own ids and dates.
COPY pattern_lineage_nodes (
    id,
    pattern_id,
    pattern_name,
    pattern_type,
    pattern_version,
    pattern_data,
    metadata,
    created_at,
    file_path,
    language,
    source_system,
    event_type
) FROM STDIN;
