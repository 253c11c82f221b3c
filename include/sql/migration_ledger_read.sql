-- All migrations the database has seen. The column notes is younger than the table.
SELECT
    version,
    name,
    checksum,
    rollback_checksum,
    state,
    ARRAY(SELECT jsonb_array_elements_text(coalesce(to_jsonb(entry) -> 'notes', '[]'))) AS notes
FROM pattern_schema_migrations AS entry
ORDER BY version;
