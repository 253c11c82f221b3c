-- Take rows that are in order again from the failures.
DELETE FROM pattern_sync_dead_letters
WHERE
    collection = %(collection)s
    AND node_id = any(%(ids)s::uuid []);
