-- 020: the outbox: events about points that Kafka is still to get. Used only where the connection patterns_kafka exists.
--
-- Leaves all other tables alone. Rows are found by pattern_id through their key (pattern_id, pattern_version).

CREATE TABLE IF NOT EXISTS pattern_sync_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    collection text NOT NULL,
    target_identity text NOT NULL,
    node_id uuid NOT NULL,
    pattern_id text,
    action text NOT NULL CHECK (action IN ('upserted', 'payload_updated', 'deleted', 'parked')),
    content_hash text,
    committed_at timestamptz,
    correlation_id text,
    indexed_at timestamptz
);
-- A point has one intention at a time: the next run replaces that of a killed one.
CREATE UNIQUE INDEX IF NOT EXISTS pattern_sync_outbox_intended_idx
    ON pattern_sync_outbox (collection, target_identity, node_id) WHERE indexed_at IS NULL;
CREATE INDEX IF NOT EXISTS pattern_sync_outbox_indexed_idx ON pattern_sync_outbox (id) WHERE indexed_at IS NOT NULL;
COMMENT ON TABLE pattern_sync_outbox IS
    'Events about points, from before the write until Kafka has them. A row goes when the broker has acknowledged it.';
COMMENT ON COLUMN pattern_sync_outbox.id IS 'Order of the events about one point.';
COMMENT ON COLUMN pattern_sync_outbox.name IS 'The collection as readers name it: an alias, or the collection itself.';
COMMENT ON COLUMN pattern_sync_outbox.collection IS 'Name of the Qdrant collection.';
COMMENT ON COLUMN pattern_sync_outbox.target_identity IS 'Which collection of that name: the identity in its metadata.';
COMMENT ON COLUMN pattern_sync_outbox.node_id IS 'Id of the point, and of its row in pattern_lineage_nodes.';
COMMENT ON COLUMN pattern_sync_outbox.pattern_id IS 'The text column pattern_id of that row; NULL where the row is gone.';
COMMENT ON COLUMN pattern_sync_outbox.action IS 'upserted, payload_updated, deleted, or parked (it became a dead letter).';
COMMENT ON COLUMN pattern_sync_outbox.content_hash IS 'Hash of the payload that was written; NULL where none was.';
COMMENT ON COLUMN pattern_sync_outbox.committed_at IS 'When the row was changed in PostgreSQL, where that is known.';
COMMENT ON COLUMN pattern_sync_outbox.correlation_id IS 'Cause of the change, from the event that named the row; NULL without one.';
COMMENT ON COLUMN pattern_sync_outbox.indexed_at IS
    'When the write was recorded as done. NULL before: the run is at it, or was killed, and the next one finds out.';
