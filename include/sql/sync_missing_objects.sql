-- What the sync needs and this database lacks, as names of tables or table.column.
SELECT needed.table_name || coalesce('.' || needed.column_name, '') AS missing
FROM
    (VALUES
        ('pattern_lineage_nodes', NULL),
        ('pattern_lineage_nodes', 'file_path'),
        ('pattern_lineage_nodes', 'language'),
        ('pattern_lineage_nodes', 'sync_xid'),
        ('pattern_lineage_nodes', 'updated_at'),
        ('pattern_sync_tombstones', NULL),
        ('pattern_sync_pruned', NULL),
        ('pattern_sync_database', NULL),
        ('pattern_sync_checkpoints', 'witness_id'),
        ('pattern_sync_checkpoints', 'capture_identity'),
        ('pattern_sync_dead_letters', 'next_attempt_at'),
        ('pattern_sync_runs', NULL),
        ('pattern_sync_runs', 'first_id')) AS needed (table_name, column_name)
WHERE
    to_regclass(needed.table_name) IS NULL
    OR (
        needed.column_name IS NOT NULL
        AND NOT EXISTS (
            SELECT 1
            FROM pg_attribute
            WHERE
                attrelid = to_regclass(needed.table_name)
                AND attname = needed.column_name
                AND NOT attisdropped
        )
    )
ORDER BY 1;
