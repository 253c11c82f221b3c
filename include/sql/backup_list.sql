-- The snapshots that were made of the collections behind a name, the newest first.
SELECT
    collection,
    target_identity,
    snapshot
FROM pattern_sync_backups
WHERE name = %(name)s
ORDER BY created_at DESC, snapshot DESC;
