-- Whether this session holds an advisory lock.
SELECT
    EXISTS (
        SELECT FROM pg_locks
        WHERE
            locktype = 'advisory'
            AND pid = pg_backend_pid()
            AND granted
            AND mode = CASE WHEN %(shared)s THEN 'ShareLock' ELSE 'ExclusiveLock' END
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = ((hashtext(%(space)s)::bigint + 4294967296) %% 4294967296)::oid
            AND objid = ((hashtext(%(key)s)::bigint + 4294967296) %% 4294967296)::oid
            AND objsubid = 2
    );
