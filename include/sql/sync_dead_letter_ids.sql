-- The rows of a collection that are parked as dead letters.
SELECT node_id
FROM pattern_sync_dead_letters
WHERE collection = %(collection)s
ORDER BY node_id;
