-- Forget a migration that was rolled back.
DELETE FROM pattern_schema_migrations
WHERE version = %(version)s;
