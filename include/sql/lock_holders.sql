-- Which sessions hold an advisory lock, and how long each has been connected; that is NULL where this role may not see it.
SELECT
    activity.pid,
    coalesce(nullif(activity.application_name, ''), 'unnamed') AS application,
    extract(EPOCH FROM now() - activity.backend_start)::float8 AS age_seconds
FROM pg_locks
INNER JOIN pg_stat_activity AS activity ON pg_locks.pid = activity.pid
WHERE
    pg_locks.locktype = 'advisory'
    AND pg_locks.granted
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND pg_locks.classid = ((hashtext(%(space)s)::bigint + 4294967296) %% 4294967296)::oid
    AND pg_locks.objid = ((hashtext(%(key)s)::bigint + 4294967296) %% 4294967296)::oid
    AND pg_locks.objsubid = 2
ORDER BY activity.backend_start;
