-- Delete the events about a collection that no run writes any more.
DELETE FROM pattern_sync_outbox
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
