-- A session of somebody else to be killed.
SELECT pid
FROM pg_stat_activity
WHERE
    datname = current_database()
    AND backend_type = 'client backend'
    AND application_name <> 'soak'
ORDER BY pid;
