-- Try to take an advisory lock for this session alone.
SELECT pg_try_advisory_lock(hashtext(%(space)s), hashtext(%(key)s));
