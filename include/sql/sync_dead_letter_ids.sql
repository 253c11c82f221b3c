-- The rows of a collection that are parked as dead letters, and which of them are to be tried again. A run that is
-- hourly comes a little earlier or later than an hour after the last one.
SELECT
    node_id,
    next_attempt_at <= now() + interval '10 minutes' AS due
FROM pattern_sync_dead_letters
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s
ORDER BY node_id;
