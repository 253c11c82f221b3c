-- Whether tombstones were pruned that a watermark had not reached. A dump brings along what was pruned in another cluster,
-- or in a copy of this one that was ahead of it: ids of transactions that are not over here.
SELECT EXISTS (
    SELECT FROM pattern_sync_pruned
    WHERE
        system_identifier = (SELECT system_identifier::text FROM pg_control_system())
        AND sync_xid > %(xid)s::text::xid8
        AND pg_visible_in_snapshot(sync_xid, pg_current_snapshot())
);
