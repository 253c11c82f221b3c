-- The open transaction that holds the horizon back, as far as this role may see such things (pg_read_all_stats).
SELECT
    pid,
    extract(EPOCH FROM now() - xact_start)::float8 AS age_seconds,
    coalesce(nullif(application_name, ''), 'unnamed') AS application
FROM pg_stat_activity
WHERE
    backend_xid IS NOT NULL
    AND xact_start IS NOT NULL
    AND pid <> pg_backend_pid()
ORDER BY xact_start
LIMIT 1;
