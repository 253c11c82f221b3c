-- Whether this server process holds the lock of migration runs.
SELECT EXISTS (
    SELECT
    FROM pg_locks
    WHERE
        locktype = 'advisory'
        AND pid = pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) + objid::bigint = %(key)s
        AND objsubid = 1
        AND granted
);
