-- Try to become the only sync run of a collection; the lock ends with the session.
SELECT pg_try_advisory_lock(hashtext('code_patterns sync'), hashtext(%(collection)s));
