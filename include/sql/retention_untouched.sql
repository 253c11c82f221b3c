-- Collections, by name and identity, that no run has written or proven for so many days.
SELECT
    known.collection,
    known.target_identity
FROM (
    SELECT
        collection,
        target_identity,
        updated_at AS touched_at
    FROM pattern_sync_checkpoints
    UNION ALL
    SELECT
        collection,
        target_identity,
        last_failed_at
    FROM pattern_sync_dead_letters
    UNION ALL
    SELECT
        collection,
        target_identity,
        created_at
    FROM pattern_sync_backups
) AS known
GROUP BY known.collection, known.target_identity
HAVING max(known.touched_at) < now() - make_interval(days => %(days)s)
ORDER BY known.collection, known.target_identity;
