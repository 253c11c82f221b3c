-- The snapshots that were made of one collection.
SELECT snapshot
FROM pattern_sync_backups
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s
ORDER BY created_at;
