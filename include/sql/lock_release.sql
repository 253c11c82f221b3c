-- Give an advisory lock back before the session ends.
SELECT CASE
    WHEN %(shared)s THEN pg_advisory_unlock_shared(hashtext(%(space)s), hashtext(%(key)s))
    ELSE pg_advisory_unlock(hashtext(%(space)s), hashtext(%(key)s))
END;
