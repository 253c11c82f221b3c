-- Which server process holds the lock of migration runs, and since when it is connected.
SELECT activity.pid, date_trunc('second', activity.backend_start)
FROM pg_locks AS held
JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE
    held.locktype = 'advisory'
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (held.classid::bigint << 32) + held.objid::bigint = %(key)s
    AND held.objsubid = 1
    AND held.granted;
