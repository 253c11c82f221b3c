-- 016 back (in parts): removes the index for the incremental sync.
--
-- Also one that a broken build left invalid. PostgreSQL drops that of a partitioned table with a short lock only.

-- part (each row a statement): the index of the table and of each partition
SELECT
    CASE WHEN index.relkind = 'I' THEN 'short' ELSE 'long' END AS word,
    format('DROP INDEX %s IF EXISTS %I.%I', CASE WHEN index.relkind = 'I' THEN '' ELSE 'CONCURRENTLY' END, nspname, index.relname)
        AS text
FROM pg_index
JOIN pg_class AS index ON index.oid = pg_index.indexrelid
JOIN pg_namespace ON pg_namespace.oid = index.relnamespace
WHERE
    (
        indrelid = to_regclass('pattern_lineage_nodes')
        OR indrelid IN (SELECT relid FROM pg_partition_tree(to_regclass('pattern_lineage_nodes')))
    )
    AND index.relname ~ '^(pattern_lineage_nodes_sync_xid_idx|pattern_sync_xid_\d+_idx)$'
ORDER BY indrelid <> to_regclass('pattern_lineage_nodes'), index.relkind <> 'I';
