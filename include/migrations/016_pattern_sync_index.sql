-- 016 (not transactional, each row a statement): the index by which the incremental sync finds changed rows.
--
-- Built without blocking writers. PostgreSQL does not do that for a partitioned table as a whole: there the index is
-- declared on the table, built on each partition, and attached.

WITH tables AS (
    SELECT
        oid::regclass AS name,
        oid,
        relkind,
        'pattern_lineage_nodes_sync_xid_idx' AS index_name,
        NULL::name AS parent_index
    FROM pg_class
    WHERE oid = 'pattern_lineage_nodes'::regclass
    UNION ALL
    SELECT
        partition.relid,
        partition.relid,
        pg_class.relkind,
        'pattern_sync_xid_' || partition.relid::oid || '_idx',
        CASE
            WHEN partition.parentrelid = 'pattern_lineage_nodes'::regclass THEN 'pattern_lineage_nodes_sync_xid_idx'
            ELSE 'pattern_sync_xid_' || partition.parentrelid::oid || '_idx'
        END
    FROM pg_partition_tree('pattern_lineage_nodes') AS partition
    JOIN pg_class ON pg_class.oid = partition.relid
    WHERE partition.level > 0
)

-- A table that was renamed still has the name for its index.
SELECT format('ALTER INDEX %s RENAME TO %I', taken.oid::regclass, 'pattern_sync_xid_' || pg_index.indrelid || '_idx')
FROM pg_class AS taken
JOIN pg_index ON pg_index.indexrelid = taken.oid
WHERE
    taken.oid = to_regclass('pattern_lineage_nodes_sync_xid_idx')
    AND pg_index.indrelid <> 'pattern_lineage_nodes'::regclass
UNION ALL
SELECT format(
    'CREATE INDEX %s IF NOT EXISTS %I ON %s %s (sync_xid, id) WHERE sync_xid IS NOT NULL',
    CASE WHEN relkind = 'p' THEN '' ELSE 'CONCURRENTLY' END, index_name,
    CASE WHEN relkind = 'p' THEN 'ONLY' ELSE '' END, name)
FROM tables
UNION ALL
SELECT format(
    'ALTER INDEX %I.%I ATTACH PARTITION %I.%I',
    current_schema(), parent_index, (SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = tables.oid), index_name)
FROM tables
WHERE parent_index IS NOT NULL;
