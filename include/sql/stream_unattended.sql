-- Whether changes wait that no stream takes: how far the collection behind a target's name has been synced, whether rows
-- or tombstones lie beyond, and whether a stream is up that keeps out the target's own. No row where only a comparison of
-- everything can go on. A run that moved no watermark may have built a collection that readers do not see yet.
-- What a stream has found behind a transaction that is still open lies beyond the watermark, and waits no more. In another
-- incarnation of the database its snapshot is not believed.
WITH checkpoint AS (
    SELECT
        found.watermark_xid,
        found.watermark_id,
        found.capture_identity,
        coalesce(
            CASE
                WHEN
                    found.arrived_in = (
                        /* rows */
                    )
                    THEN found.arrived_snapshot
            END,
            '1:1:'
        ) AS arrived
    FROM pattern_sync_runs AS run
    INNER JOIN pattern_sync_checkpoints AS found USING (collection, target_identity)
    WHERE
        run.name = %(collection)s
        AND run.target IS NOT DISTINCT FROM %(target)s::text
        AND run.status = 'succeeded'
        AND run.watermark_to IS NOT NULL
    ORDER BY run.started_at DESC, found.updated_at DESC
    LIMIT 1
),

-- In two parts, so that nothing is read of what has arrived: however much that is, this comes twice a second. Here is the
-- one, whatever began after that snapshot; the other is what was open in it.
later AS (
    SELECT
        CASE WHEN ahead THEN (pg_snapshot_xmax(arrived)::text::bigint - 1)::text::xid8 ELSE watermark_xid END AS xid,
        CASE WHEN ahead THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff' ELSE watermark_id END AS id
    FROM checkpoint
    CROSS JOIN LATERAL (VALUES (pg_snapshot_xmax(arrived) > watermark_xid)) AS compared (ahead)
)

SELECT
    concat_ws(' ', watermark_xid, arrived) AS progress,
    EXISTS (
        SELECT FROM pattern_lineage_nodes
        WHERE
            sync_xid >= later.xid
            AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
            AND (sync_xid, pattern_lineage_nodes.id) > (later.xid, later.id)
    )
    OR EXISTS (
        SELECT FROM pattern_sync_tombstones
        WHERE
            sync_xid >= later.xid
            AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
            AND (sync_xid, node_id) > (later.xid, later.id)
    )
    OR EXISTS (
        SELECT FROM pg_snapshot_xip(arrived) AS open (xid)
        INNER JOIN pattern_lineage_nodes ON sync_xid = open.xid
        WHERE open.xid >= watermark_xid AND (sync_xid, pattern_lineage_nodes.id) > (watermark_xid, watermark_id)
    )
    OR EXISTS (
        SELECT FROM pg_snapshot_xip(arrived) AS open (xid)
        INNER JOIN pattern_sync_tombstones ON sync_xid = open.xid
        WHERE open.xid >= watermark_xid AND (sync_xid, node_id) > (watermark_xid, watermark_id)
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
CROSS JOIN later
WHERE
    watermark_xid IS NOT NULL
    AND capture_identity IS NOT NULL;
