-- Which of these ids are dead letters of a collection.
SELECT node_id
FROM pattern_sync_dead_letters
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s
    AND node_id = any(%(ids)s::uuid []);
