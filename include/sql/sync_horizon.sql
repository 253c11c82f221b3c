-- Which transactions are over: what they did is visible, or never will be. And the incarnation of the database.
SELECT
    pg_current_snapshot()::text AS snapshot,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    (
        /* query database_incarnation */
    ) AS incarnation,
    clock_timestamp() AS at;
