-- Note what is about to be written, before it is.
INSERT INTO pattern_sync_outbox AS intended (
    name, collection, target_identity, node_id, pattern_id, action, content_hash, committed_at, correlation_id
)
SELECT
    %(name)s,
    %(collection)s,
    %(target_identity)s,
    change.*
FROM unnest(
    %(node_ids)s::uuid [],
    %(pattern_ids)s::text [],
    %(actions)s::text [],
    %(content_hashes)s::text [],
    %(committed_at)s::timestamptz [],
    %(correlation_ids)s::text []
) AS change
ON CONFLICT (collection, target_identity, node_id) WHERE indexed_at IS NULL DO UPDATE
    SET
        name = excluded.name,
        pattern_id = excluded.pattern_id,
        action = excluded.action,
        content_hash = excluded.content_hash,
        committed_at = excluded.committed_at,
        correlation_id = coalesce(excluded.correlation_id, intended.correlation_id);
