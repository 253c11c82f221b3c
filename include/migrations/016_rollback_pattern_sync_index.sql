-- 016 back (not transactional): removes the index for the incremental sync, also one left invalid by a broken build.

DROP INDEX CONCURRENTLY IF EXISTS pattern_lineage_nodes_sync_xid_idx;
