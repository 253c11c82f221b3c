-- What of a checkpoint's rows waits for the next run: the age of the oldest change in seconds, 0 when there is none, and the
-- number of rows.
SELECT
    coalesce(extract(EPOCH FROM now() - min(node.updated_at)), 0)::float8,
    count(*)
FROM (
    /* query believed_checkpoints */
) AS checkpoint
INNER JOIN pattern_lineage_nodes AS node
    ON
        node.sync_xid >= checkpoint.watermark_xid
        AND node.sync_xid < pg_snapshot_xmax(pg_current_snapshot())
        AND (node.sync_xid, node.id) > (checkpoint.watermark_xid, checkpoint.watermark_id)
        AND NOT pg_visible_in_snapshot(node.sync_xid, checkpoint.arrived)
WHERE
    checkpoint.collection = %(collection)s
    AND checkpoint.target_identity = %(target_identity)s;
