-- The running server with the files of this database: any way to restore it changes one of these.
SELECT
    concat_ws(
        ' ',
        (SELECT system_identifier FROM pg_control_system()),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        pg_relation_filenode('pattern_sync_checkpoints'),
        pg_postmaster_start_time()
    )
