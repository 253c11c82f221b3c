-- The first events that Kafka has not got yet, in their order.
SELECT
    id,
    name,
    collection,
    node_id,
    pattern_id,
    action,
    content_hash,
    committed_at,
    indexed_at,
    correlation_id
FROM pattern_sync_outbox
WHERE indexed_at IS NOT NULL
ORDER BY id
LIMIT %(most)s;
