-- Delete the dead letters of a collection that no run writes any more.
DELETE FROM pattern_sync_dead_letters
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
