-- Which database this is: the id that every copy carries, and what tells copies apart.
SELECT
    known.id::text AS id,
    current_database()::text AS name,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier
FROM pattern_sync_database AS known;
