-- What the stream asks again and again: the present snapshot, the time, and whether it shows a change that an earlier
-- snapshot did not.
SELECT
    pg_current_snapshot()::text,
    clock_timestamp(),
    EXISTS (
        SELECT FROM pattern_lineage_nodes
        WHERE
            sync_xid >= pg_snapshot_xmin(%(seen)s::pg_snapshot)
            AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
            AND NOT pg_visible_in_snapshot(sync_xid, %(seen)s::pg_snapshot)
    )
    OR EXISTS (
        SELECT FROM pattern_sync_tombstones
        WHERE
            sync_xid >= pg_snapshot_xmin(%(seen)s::pg_snapshot)
            AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
            AND NOT pg_visible_in_snapshot(sync_xid, %(seen)s::pg_snapshot)
    );
