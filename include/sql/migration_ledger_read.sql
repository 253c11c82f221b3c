-- All migrations the database has seen.
SELECT version, name, checksum, rollback_checksum, state
FROM pattern_schema_migrations
ORDER BY version;
