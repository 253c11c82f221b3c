-- What keeps the sync from reading this database: that the source is no table, what is missing (names of tables or
-- table.column), and tables of which row-level security may hide rows from this login.
SELECT
    (SELECT relkind::text FROM pg_class WHERE oid = to_regclass('pattern_lineage_nodes')) AS kind,
    ARRAY(
        SELECT needed.table_name || coalesce('.' || needed.column_name, '')
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
                ('pattern_sync_checkpoints', 'unfinished_in'),
                ('pattern_sync_checkpoints', 'arrived_snapshot'),
                ('pattern_sync_dead_letters', 'next_attempt_at'),
                ('pattern_sync_digests', NULL),
                ('pattern_sync_outbox', NULL),
                ('pattern_sync_runs', NULL),
                ('pattern_sync_runs', 'first_id'),
                ('pattern_sync_runs', 'target')) AS needed (table_name, column_name)
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
        ORDER BY 1
    ) AS missing,
    ARRAY(
        SELECT table_name
        FROM unnest(ARRAY['pattern_lineage_nodes', 'pattern_sync_tombstones']) AS given (table_name)
        WHERE row_security_active(to_regclass(table_name))
        ORDER BY table_name
    ) AS hidden;
