-- Delete the checkpoint of a collection that no run writes any more. It would keep tombstones alive.
DELETE FROM pattern_sync_checkpoints
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
