-- The oldest transaction still open: every change by an older one is committed and visible, or never will be.
SELECT
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier;
