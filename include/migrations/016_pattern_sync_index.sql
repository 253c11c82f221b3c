-- 016 (in parts): the index by which the incremental sync finds changed rows.
--
-- Built without blocking writers. PostgreSQL does not do that for a partitioned table as a whole: there the index is
-- declared on the table, built on each partition, and attached.

-- part (each row a statement): the index of the table and of each partition
WITH tables AS (
    SELECT
        oid::regclass AS name,
        oid,
        relkind,
        relnamespace::regnamespace AS schema,
        'pattern_lineage_nodes_sync_xid_idx' AS index_name,
        NULL::regnamespace AS parent_schema,
        NULL::name AS parent_index
    FROM pg_class
    WHERE oid = to_regclass('pattern_lineage_nodes')
    UNION ALL
    SELECT
        partition.relid,
        partition.relid,
        pg_class.relkind,
        pg_class.relnamespace,
        'pattern_sync_xid_' || partition.relid::oid || '_idx',
        parent.relnamespace,
        CASE
            WHEN partition.parentrelid = to_regclass('pattern_lineage_nodes') THEN 'pattern_lineage_nodes_sync_xid_idx'
            ELSE 'pattern_sync_xid_' || partition.parentrelid::oid || '_idx'
        END
    FROM pg_partition_tree(to_regclass('pattern_lineage_nodes')) AS partition
    JOIN pg_class ON pg_class.oid = partition.relid
    JOIN pg_class AS parent ON parent.oid = partition.parentrelid
    WHERE partition.level > 0
)

SELECT
    'refuse' AS word,
    format('Login %s may not make indexes in schema %s, where partitions of pattern_lineage_nodes are. Let the owner of the '
        'schema run: GRANT USAGE, CREATE ON SCHEMA %s TO %s;',
        quote_ident(current_user), schema, schema, quote_ident(current_user)) AS text
FROM tables
WHERE NOT (has_schema_privilege(schema, 'USAGE') AND has_schema_privilege(schema, 'CREATE'))
UNION ALL
-- A table that was renamed still has the name for its index.
SELECT
    'short',
    format('ALTER INDEX %s RENAME TO %I', taken.oid::regclass, 'pattern_sync_xid_' || pg_index.indrelid || '_idx')
FROM pg_class AS taken
JOIN pg_index ON pg_index.indexrelid = taken.oid
WHERE
    taken.oid = to_regclass('pattern_lineage_nodes_sync_xid_idx')
    AND pg_index.indrelid <> to_regclass('pattern_lineage_nodes')
UNION ALL
-- What a broken build has left.
SELECT 'long', format('DROP INDEX CONCURRENTLY %s', pg_index.indexrelid::regclass)
FROM pg_index
JOIN tables ON tables.oid = pg_index.indrelid AND tables.relkind <> 'p'
JOIN pg_class ON pg_class.oid = pg_index.indexrelid AND pg_class.relname = tables.index_name
WHERE NOT pg_index.indisvalid
UNION ALL
SELECT CASE WHEN relkind = 'p' THEN 'short' ELSE 'long' END, format(
    'CREATE INDEX %s IF NOT EXISTS %I ON %s %s (sync_xid, id) WHERE sync_xid IS NOT NULL',
    CASE WHEN relkind = 'p' THEN '' ELSE 'CONCURRENTLY' END, index_name,
    CASE WHEN relkind = 'p' THEN 'ONLY' ELSE '' END, name)
FROM tables
UNION ALL
SELECT 'short', format('ALTER INDEX %s.%I ATTACH PARTITION %s.%I', parent_schema, parent_index, schema, index_name)
FROM tables
WHERE parent_index IS NOT NULL;
