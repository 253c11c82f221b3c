-- Note when the last run of a kind ended well.
UPDATE pattern_sync_checkpoints
SET
    last_full_at = CASE WHEN %(kind)s = 'full' THEN now() ELSE last_full_at END,
    last_incremental_at = CASE WHEN %(kind)s = 'incremental' THEN now() ELSE last_incremental_at END
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
