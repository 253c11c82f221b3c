-- Note that everything has arrived that a snapshot shows, also beyond the watermark.
UPDATE pattern_sync_checkpoints
SET
    arrived_snapshot = %(snapshot)s::pg_snapshot,
    arrived_in = %(incarnation)s
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
