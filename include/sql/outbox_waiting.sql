-- How many events Kafka has not got yet.
SELECT count(*) FROM pattern_sync_outbox WHERE indexed_at IS NOT NULL;
