-- Note that a run writes to a collection, and in which incarnation of the database.
UPDATE pattern_sync_checkpoints
SET unfinished_in = %(incarnation)s
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
