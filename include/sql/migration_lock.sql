-- Try to become the only migration run on this database.
SELECT pg_try_advisory_lock(%(key)s);
