-- What may explain an error: the time limits of this session, and the tables of which row-level security hides rows
-- from its role.
SELECT
    (
        SELECT coalesce(json_object_agg(name, setting || coalesce(unit, '') || ', from: ' || source), '{}')::text
        FROM pg_settings
        WHERE name IN ('statement_timeout', 'lock_timeout') AND setting <> '0'
    ) AS limits,
    (
        SELECT coalesce(json_agg(relname ORDER BY relname), '[]')::text
        FROM pg_class
        WHERE
            relname LIKE 'pattern\_%'
            AND relkind IN ('r', 'p')
            AND pg_table_is_visible(oid)
            AND row_security_active(oid)
    ) AS hidden;
