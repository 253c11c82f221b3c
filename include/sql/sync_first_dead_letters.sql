-- Some of a collection's dead letters, those that are parked longest first.
SELECT
    node_id,
    stage,
    error
FROM pattern_sync_dead_letters
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s
ORDER BY first_failed_at, node_id
LIMIT %(count)s;
