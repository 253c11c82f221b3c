-- Try to take an advisory lock beside other sessions that share it.
SELECT pg_try_advisory_lock_shared(hashtext(%(space)s), hashtext(%(key)s));
