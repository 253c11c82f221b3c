-- Forget the dead letters of rows that are in order again, or gone.
DELETE FROM pattern_sync_dead_letters
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s
    AND node_id = any(%(ids)s::uuid []);
