-- 016 (not transactional): the index by which the incremental sync finds changed rows, built without blocking writers.

CREATE INDEX CONCURRENTLY IF NOT EXISTS pattern_lineage_nodes_sync_xid_idx
    ON pattern_lineage_nodes (sync_xid, id)
    WHERE sync_xid IS NOT NULL;
