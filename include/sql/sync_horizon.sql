-- Which transactions are over: what they did is visible, or never will be. And the running server with the files of
-- this database: any way to restore it changes one of these.
SELECT
    pg_current_snapshot()::text AS snapshot,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    concat_ws(
        ' ',
        (SELECT system_identifier FROM pg_control_system()),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        pg_relation_filenode('pattern_sync_checkpoints'),
        pg_postmaster_start_time()
    ) AS incarnation,
    clock_timestamp() AS at;
