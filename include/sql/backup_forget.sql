-- Forget a snapshot that is gone.
DELETE FROM pattern_sync_backups
WHERE
    collection = %(collection)s
    AND snapshot = %(snapshot)s;
