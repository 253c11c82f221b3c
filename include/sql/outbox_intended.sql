-- Which points a run was about to write, without having recorded that it did.
SELECT node_id
FROM pattern_sync_outbox
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s
    AND indexed_at IS NULL;
