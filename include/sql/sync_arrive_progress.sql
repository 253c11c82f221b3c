-- Note that a collection has its new progress token: no run is in the middle of writing.
UPDATE pattern_sync_checkpoints
SET
    progress = %(progress)s,
    pending_progress = NULL,
    unfinished_in = NULL
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
