-- Forget the snapshots of a collection that is gone.
DELETE FROM pattern_sync_backups
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
