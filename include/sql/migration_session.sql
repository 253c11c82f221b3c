-- What decides whether migrations can run: state of the server, schema, rights, where earlier ones ran, and the server
-- process, which a pooler reports as another one.
SELECT
    current_setting('transaction_read_only')::boolean,
    quote_ident(current_schema()),
    has_schema_privilege(current_schema(), 'CREATE'),
    (
        SELECT relnamespace::regnamespace::text
        FROM pg_class
        WHERE oid = to_regclass('pattern_schema_migrations')
    ),
    pg_backend_pid();
