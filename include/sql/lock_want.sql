-- Say that this session waits for an advisory lock, so that one who takes it again and again stands back.
SELECT pg_try_advisory_lock_shared(hashtext(%(space)s || ' wanted'), hashtext(%(key)s));
