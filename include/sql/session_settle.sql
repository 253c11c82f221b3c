-- Settle a new session. The schemas in which its own search_path, or else public, has the tables become the whole
-- search_path; where there are none yet, it stays as it is. Returns the schema of a table that public has as well.
WITH
named AS (
    SELECT
        table_name,
        own.relnamespace::regnamespace::text AS own_schema,
        to_regclass('public.' || table_name) AS in_public
    FROM
        unnest(ARRAY['pattern_lineage_nodes', 'pattern_templates']) AS given (table_name)
    LEFT JOIN
        pg_class AS own
        ON own.oid = to_regclass(table_name)
),

found AS (
    SELECT DISTINCT coalesce(own_schema, 'public') AS schema_name
    FROM named
    WHERE own_schema IS NOT NULL OR in_public IS NOT NULL
),

path AS (
    SELECT string_agg(schema_name, ', ' ORDER BY schema_name = 'public', schema_name) AS schemas
    FROM found
)

SELECT
    (SELECT min(own_schema) FROM named WHERE own_schema <> 'public' AND in_public IS NOT NULL) AS disputed,
    CASE
        WHEN schemas IS NOT NULL THEN set_config('search_path', schemas || ', public', false)
    END AS search_path,
    -- Since PostgreSQL 17.
    CASE
        WHEN current_setting('transaction_timeout', true) <> '0' THEN set_config('transaction_timeout', '0', false)
    END AS transaction_timeout,
    -- Only a superuser may set it: whose triggers are off by a setting of the role hears so from the server.
    CASE
        WHEN current_setting('session_replication_role') <> 'origin'
            THEN set_config('session_replication_role', 'origin', false)
    END AS session_replication_role
FROM path
