-- Tables of the sync of which row-level security may hide rows from this login.
SELECT table_name
FROM unnest(ARRAY['pattern_lineage_nodes', 'pattern_sync_tombstones']) AS given (table_name)
WHERE row_security_active(to_regclass(table_name))
ORDER BY table_name;
