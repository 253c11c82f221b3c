-- What the stream asks again and again: the present snapshot, the time, and whether it shows a change that an earlier
-- snapshot did not. That is what has begun since, and what was open in it; what it showed is not read, however much lies
-- behind a transaction that stays open. Range, order and limit have the index used, whatever the statistics say.
SELECT
    pg_current_snapshot()::text,
    clock_timestamp(),
    EXISTS (
        SELECT FROM pattern_lineage_nodes
        WHERE
            sync_xid >= pg_snapshot_xmax(%(seen)s::pg_snapshot)
            AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
    )
    OR EXISTS (
        SELECT FROM pattern_sync_tombstones
        WHERE
            sync_xid >= pg_snapshot_xmax(%(seen)s::pg_snapshot)
            AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
    )
    OR EXISTS (
        SELECT FROM pg_snapshot_xip(%(seen)s::pg_snapshot) AS open (xid)
        WHERE
            (
                SELECT id FROM pattern_lineage_nodes
                WHERE sync_xid BETWEEN open.xid AND open.xid
                ORDER BY sync_xid, id
                LIMIT 1
            ) IS NOT NULL
            OR (
                SELECT node_id FROM pattern_sync_tombstones
                WHERE sync_xid BETWEEN open.xid AND open.xid
                ORDER BY sync_xid, node_id
                LIMIT 1
            ) IS NOT NULL
    );
