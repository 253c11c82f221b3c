-- Note which progress token a collection is about to get, and whether everything must be compared first.
INSERT INTO pattern_sync_checkpoints AS known (collection, target_identity, system_identifier, pending_progress)
VALUES (%(collection)s, %(target_identity)s, %(system_identifier)s, %(pending)s)
ON CONFLICT (collection, target_identity) DO UPDATE
    SET
        pending_progress = excluded.pending_progress,
        watermark_xid = CASE WHEN NOT %(owed)s THEN known.watermark_xid END,
        watermark_id = CASE WHEN NOT %(owed)s THEN known.watermark_id END,
        arrived_snapshot = CASE WHEN NOT %(owed)s THEN known.arrived_snapshot END,
        witness_id = CASE WHEN NOT %(owed)s THEN known.witness_id END,
        witness_written_at = CASE WHEN NOT %(owed)s THEN known.witness_written_at END,
        updated_at = now();
