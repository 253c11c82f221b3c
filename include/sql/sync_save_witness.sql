-- Remember which point was written last, so that an older collection is noticed.
UPDATE pattern_sync_checkpoints
SET
    witness_id = %(witness_id)s,
    witness_written_at = %(witness_written_at)s
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
