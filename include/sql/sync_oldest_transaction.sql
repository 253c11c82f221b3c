-- The open transaction that holds the horizon back, as far as this role may see such things (pg_read_all_stats). A prepared
-- one has no process; every role may see it.
SELECT
    pid,
    extract(EPOCH FROM now() - began)::float8 AS age_seconds,
    application,
    gid,
    database
FROM (
    SELECT
        pid,
        xact_start AS began,
        coalesce(nullif(application_name, ''), 'unnamed') AS application,
        NULL::text AS gid,
        NULL::text AS database
    FROM pg_stat_activity
    WHERE
        backend_xid IS NOT NULL
        AND xact_start IS NOT NULL
        AND pid <> pg_backend_pid()
    UNION ALL
    SELECT
        NULL,
        prepared,
        NULL,
        gid,
        database
    FROM pg_prepared_xacts
) AS open
ORDER BY began
LIMIT 1;
