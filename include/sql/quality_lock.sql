-- Try to become the only quality backfill of this database; the lock ends with the session.
SELECT pg_try_advisory_lock(hashtext('code_patterns quality'), 0);
