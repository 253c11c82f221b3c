-- What is known of the collection behind a target's name: how far it has been synced, what waits (counted up to a
-- limit), since when, what is parked, whether the target's stream is up, and the last proof. One row, with nulls where
-- nothing was synced.
WITH checkpoint AS (
    SELECT found.*
    FROM pattern_sync_runs AS run
    INNER JOIN (
        /* query believed_checkpoints */
    ) AS found USING (collection, target_identity)
    WHERE
        run.name = $1
        AND run.target IS NOT DISTINCT FROM $2
        AND run.status = 'succeeded'
    -- A run that moved no watermark may have built a collection that readers do not see yet.
    ORDER BY (run.watermark_to IS NULL), run.started_at DESC
    LIMIT 1
),

later AS (
    SELECT node.updated_at AS at
    FROM checkpoint
    INNER JOIN pattern_lineage_nodes AS node
        ON
            node.sync_xid >= checkpoint.later_xid
            AND (node.sync_xid, node.id) > (checkpoint.later_xid, checkpoint.later_id)
    ORDER BY node.sync_xid, node.id
    LIMIT $5
),

later_deleted AS (
    SELECT tombstone.deleted_at AS at
    FROM checkpoint
    INNER JOIN pattern_sync_tombstones AS tombstone
        ON
            tombstone.sync_xid >= checkpoint.later_xid
            AND (tombstone.sync_xid, tombstone.node_id) > (checkpoint.later_xid, checkpoint.later_id)
    ORDER BY tombstone.sync_xid, tombstone.node_id
    LIMIT $5
),

-- What a stream has written behind a transaction that is still open waits no more, although it lies beyond the watermark.
open AS (
    SELECT
        checkpoint.watermark_xid,
        checkpoint.watermark_id,
        late.xid
    FROM checkpoint
    CROSS JOIN LATERAL pg_snapshot_xip(checkpoint.arrived) AS late (xid)
    WHERE late.xid >= checkpoint.watermark_xid
),

waiting AS (
    SELECT at FROM later
    UNION ALL
    SELECT at FROM later_deleted
    UNION ALL
    (
        SELECT node.updated_at
        FROM open
        CROSS JOIN LATERAL (
            -- As in sync_look.
            SELECT updated_at
            FROM pattern_lineage_nodes
            WHERE
                sync_xid BETWEEN open.xid AND open.xid
                AND (sync_xid, id) > (open.watermark_xid, open.watermark_id)
            ORDER BY sync_xid, id
            LIMIT $5
        ) AS node
        LIMIT $5
    )
    UNION ALL
    (
        SELECT tombstone.deleted_at
        FROM open
        CROSS JOIN LATERAL (
            SELECT deleted_at
            FROM pattern_sync_tombstones
            WHERE
                sync_xid BETWEEN open.xid AND open.xid
                AND (sync_xid, node_id) > (open.watermark_xid, open.watermark_id)
            ORDER BY sync_xid, node_id
            LIMIT $5
        ) AS tombstone
        LIMIT $5
    )
),

proof AS (
    SELECT parity, finished_at, dag_id, dag_run_id
    FROM pattern_sync_runs
    WHERE
        name = $1
        AND target IS NOT DISTINCT FROM $2
        AND parity IN ('proven', 'broken')
    ORDER BY started_at DESC
    LIMIT 1
)

SELECT
    checkpoint.collection,
    checkpoint.watermark_xid::text::bigint AS watermark,
    checkpoint.updated_at AS watermark_at,
    checkpoint.capture_identity IS NOT NULL AS captured,
    checkpoint.last_incremental_at,
    checkpoint.last_full_at,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
    now() AS now,
    (SELECT count(*) FROM waiting) AS behind,
    (SELECT coalesce(extract(EPOCH FROM now() - min(at)), 0)::float8 FROM waiting) AS lag_seconds,
    (
        SELECT count(*)
        FROM pattern_sync_dead_letters AS parked
        WHERE
            parked.collection = checkpoint.collection
            AND parked.target_identity = checkpoint.target_identity
    ) AS dead_letters,
    EXISTS (
        SELECT FROM pg_locks
        WHERE
            locktype = 'advisory'
            AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = ((hashtext($3)::bigint + 4294967296) % 4294967296)::oid
            AND objid = ((hashtext($4)::bigint + 4294967296) % 4294967296)::oid
            AND objsubid = 2
    ) AS streaming,
    proof.parity,
    proof.finished_at AS parity_at,
    proof.dag_id AS parity_dag_id,
    proof.dag_run_id AS parity_run_id,
    (
        SELECT max(finished_at)
        FROM pattern_sync_runs
        WHERE
            name = $1
            AND target IS NOT DISTINCT FROM $2
            AND parity = 'proven'
    ) AS proven_at
FROM (VALUES (1)) AS one (row)
LEFT JOIN checkpoint ON true
LEFT JOIN proof ON true;
