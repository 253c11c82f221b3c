-- Whether this database has been migrated before.
SELECT to_regclass('pattern_schema_migrations') IS NOT NULL;
