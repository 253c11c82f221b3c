-- How many sessions others have in this database.
SELECT count(*)
FROM pg_stat_activity
WHERE
    datname = current_database()
    AND backend_type = 'client backend'
    AND application_name <> 'soak';
