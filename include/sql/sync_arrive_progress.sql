-- Note that a collection has its new progress token.
UPDATE pattern_sync_checkpoints
SET
    progress = %(progress)s,
    pending_progress = NULL
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
