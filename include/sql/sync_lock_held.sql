-- Whether this session holds the lock of a collection.
SELECT
    EXISTS (
        SELECT FROM pg_locks
        WHERE
            locktype = 'advisory'
            AND pid = pg_backend_pid()
            AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = ((hashtext('code_patterns sync')::bigint + 4294967296) %% 4294967296)::oid
            AND objid = ((hashtext(%(collection)s)::bigint + 4294967296) %% 4294967296)::oid
            AND objsubid = 2
    );
