-- The proof's own horizon, and the cluster that answers.
SELECT
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier;
