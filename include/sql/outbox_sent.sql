-- Forget events that Kafka has.
DELETE FROM pattern_sync_outbox WHERE id = any(%(ids)s::bigint []);
