-- Checkpoints, with what is believed to have arrived beyond their watermarks: a snapshot (arrived), which says nothing in
-- another incarnation of the database. Changes wait in two parts, so that nothing is read of what has arrived, however much
-- that is: what was open in the snapshot, and what comes after (later_xid, later_id).
SELECT
    known.*,
    believed.arrived,
    CASE
        WHEN pg_snapshot_xmax(believed.arrived) > known.watermark_xid
            THEN (pg_snapshot_xmax(believed.arrived)::text::bigint - 1)::text::xid8
        ELSE known.watermark_xid
    END AS later_xid,
    CASE
        WHEN pg_snapshot_xmax(believed.arrived) > known.watermark_xid THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'
        ELSE known.watermark_id
    END AS later_id
FROM pattern_sync_checkpoints AS known
CROSS JOIN LATERAL (
    SELECT
        coalesce(
            CASE
                WHEN
                    known.arrived_in = (
                        /* query database_incarnation */
                    )
                    THEN known.arrived_snapshot
            END,
            '1:1:'
        ) AS arrived
) AS believed
