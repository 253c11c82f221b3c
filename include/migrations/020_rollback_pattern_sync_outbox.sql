-- 020 back: removes the outbox. Events that Kafka has not got yet are lost; patterns and Qdrant are not touched.

DROP TABLE IF EXISTS pattern_sync_outbox;
