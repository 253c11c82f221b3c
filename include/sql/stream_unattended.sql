-- Whether changes wait that no stream takes: how far the collection behind a target's name has been synced, whether rows
-- or tombstones lie beyond, and whether a stream is up that keeps out the target's own. No row where only a comparison of
-- everything can go on. A run that moved no watermark may have built a collection that readers do not see yet.
WITH checkpoint AS (
    SELECT found.*
    FROM pattern_sync_runs AS run
    INNER JOIN (
        /* query believed_checkpoints */
    ) AS found USING (collection, target_identity)
    WHERE
        run.name = %(collection)s
        AND run.target IS NOT DISTINCT FROM %(target)s::text
        AND run.status = 'succeeded'
        AND run.watermark_to IS NOT NULL
    ORDER BY run.started_at DESC, found.updated_at DESC
    LIMIT 1
)

SELECT
    concat_ws(' ', watermark_xid, arrived) AS progress,
    EXISTS (
        SELECT FROM pattern_lineage_nodes
        WHERE
            sync_xid >= later_xid
            AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
            AND (sync_xid, id) > (later_xid, later_id)
    )
    OR EXISTS (
        SELECT FROM pattern_sync_tombstones
        WHERE
            sync_xid >= later_xid
            AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
            AND (sync_xid, node_id) > (later_xid, later_id)
    )
    -- As in sync_look.
    OR EXISTS (
        SELECT FROM pg_snapshot_xip(arrived) AS open (xid)
        WHERE
            open.xid >= watermark_xid
            AND (
                (
                    SELECT id FROM pattern_lineage_nodes
                    WHERE
                        sync_xid BETWEEN open.xid AND open.xid
                        AND (sync_xid, id) > (watermark_xid, watermark_id)
                    ORDER BY sync_xid, id
                    LIMIT 1
                ) IS NOT NULL
                OR (
                    SELECT node_id FROM pattern_sync_tombstones
                    WHERE
                        sync_xid BETWEEN open.xid AND open.xid
                        AND (sync_xid, node_id) > (watermark_xid, watermark_id)
                    ORDER BY sync_xid, node_id
                    LIMIT 1
                ) IS NOT NULL
            )
    ) AS changed,
    EXISTS (
        SELECT FROM pg_locks
        WHERE
            locktype = 'advisory'
            AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = ((hashtext(%(space)s)::bigint + 4294967296) %% 4294967296)::oid
            AND objid = ((hashtext(%(key)s)::bigint + 4294967296) %% 4294967296)::oid
            AND objsubid = 2
    ) AS attended
FROM checkpoint
WHERE
    watermark_xid IS NOT NULL
    AND capture_identity IS NOT NULL;
