-- Delete the digests of a collection that no run writes any more.
DELETE FROM pattern_sync_digests
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
