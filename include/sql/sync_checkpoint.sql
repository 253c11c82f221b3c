-- How far a collection has been synced.
SELECT
    system_identifier,
    watermark_xid::text::bigint,
    watermark_id,
    progress,
    pending_progress,
    witness_id,
    witness_written_at,
    capture_identity,
    unfinished_in
FROM pattern_sync_checkpoints
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
