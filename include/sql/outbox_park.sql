-- Add events about rows that became dead letters.
INSERT INTO pattern_sync_outbox (
    name, collection, target_identity, node_id, pattern_id, action, committed_at, correlation_id, indexed_at
)
SELECT
    %(name)s,
    %(collection)s,
    %(target_identity)s,
    parked.node_id,
    parked.pattern_id,
    'parked',
    parked.committed_at,
    parked.correlation_id,
    clock_timestamp()
FROM unnest(
    %(node_ids)s::uuid [],
    %(pattern_ids)s::text [],
    %(committed_at)s::timestamptz [],
    %(correlation_ids)s::text []
) AS parked (node_id, pattern_id, committed_at, correlation_id);
