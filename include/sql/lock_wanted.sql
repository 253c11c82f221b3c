-- Whether another session waits for an advisory lock.
SELECT
    EXISTS (
        SELECT FROM pg_locks
        WHERE
            locktype = 'advisory'
            AND granted
            AND pid <> pg_backend_pid()
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = ((hashtext(%(space)s || ' wanted')::bigint + 4294967296) %% 4294967296)::oid
            AND objid = ((hashtext(%(key)s)::bigint + 4294967296) %% 4294967296)::oid
            AND objsubid = 2
    );
