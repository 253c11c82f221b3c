-- 016 back (not transactional, each row a statement): removes the index for the incremental sync.
--
-- Also one that a broken build left invalid. PostgreSQL drops that of a partitioned table with a short lock only.

SELECT format(
    'DROP INDEX %s IF EXISTS %I.%I', CASE WHEN index.relkind = 'I' THEN '' ELSE 'CONCURRENTLY' END, nspname, index.relname)
FROM pg_index
JOIN pg_class AS index ON index.oid = pg_index.indexrelid
JOIN pg_namespace ON pg_namespace.oid = index.relnamespace
WHERE
    (
        indrelid = 'pattern_lineage_nodes'::regclass
        OR indrelid IN (SELECT relid FROM pg_partition_tree('pattern_lineage_nodes'))
    )
    AND index.relname ~ '^(pattern_lineage_nodes_sync_xid_idx|pattern_sync_xid_\d+_idx)$'
ORDER BY indrelid <> 'pattern_lineage_nodes'::regclass, index.relkind <> 'I';
