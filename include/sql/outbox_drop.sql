-- Drop intentions: nothing was written.
DELETE FROM pattern_sync_outbox
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s
    AND node_id = any(%(node_ids)s::uuid [])
    AND indexed_at IS NULL;
