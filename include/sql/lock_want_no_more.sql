-- Take back that this session waits for an advisory lock.
SELECT pg_advisory_unlock_shared(hashtext(%(space)s || ' wanted'), hashtext(%(key)s));
