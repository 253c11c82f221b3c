-- Remove a collection's watermark: only a complete comparison of everything sets one again.
UPDATE pattern_sync_checkpoints
SET
    watermark_xid = NULL,
    watermark_id = NULL,
    arrived_snapshot = NULL
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
