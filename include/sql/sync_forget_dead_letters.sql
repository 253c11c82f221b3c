-- Drop the dead letters of a collection that no run follows any more.
DELETE FROM pattern_sync_dead_letters
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
