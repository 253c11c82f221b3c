-- The rows of a collection that are parked as failed.
SELECT node_id
FROM pattern_sync_failures
WHERE collection = %(collection)s
ORDER BY node_id;
