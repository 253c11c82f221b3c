-- The oldest transaction still open: every change by an older one is committed and visible, or never will be. And the
-- running server with the files of this database: any way to restore it changes one of these.
SELECT
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    concat_ws(
        ' ',
        (SELECT system_identifier FROM pg_control_system()),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        pg_relation_filenode('pattern_sync_checkpoints'),
        pg_postmaster_start_time()
    ) AS incarnation;
