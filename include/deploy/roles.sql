-- Three logins for one database of patterns, each with the rights that it needs and no more:
--
--   patterns_migrator  schema_migration: makes and changes the tables
--   patterns_sync      every other DAG and the storage layer: reads the patterns, writes what the runs keep
--   patterns_reader    search and the page: reads
--
-- A superuser, or the administrator of a managed server, runs it in that database: before the first migration and before a
-- restore, so that the logins exist, and after both, so that they may use new tables; after a new partition, too. It may run
-- at any time and as often as you like: it takes effect as a whole or not at all. A login without a password cannot log in by password: set one with
-- \password patterns_sync in psql, which sends no plain text to the server. Tables in a schema other than public:
-- PGOPTIONS='--search_path=app' psql ... --file roles.sql

BEGIN;

DO $roles$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['patterns_migrator', 'patterns_sync', 'patterns_reader']
    LOOP
        IF to_regrole(role_name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', role_name);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role_name);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role_name);
    END LOOP;
    EXECUTE format('GRANT CREATE ON SCHEMA %I TO patterns_migrator', current_schema());
    -- Who is no superuser gives rights to the migrator's tables as a member of that role. Two roles cannot be members of each
    -- other; up to PostgreSQL 15 this file once made the migrator a member of its administrator.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        IF EXISTS (
            SELECT FROM pg_auth_members
            WHERE roleid = current_user::regrole AND member = 'patterns_migrator'::regrole
        ) THEN
            EXECUTE format('REVOKE %I FROM patterns_migrator', current_user);
        END IF;
        IF NOT pg_has_role('patterns_migrator', 'USAGE') THEN
            EXECUTE format('GRANT patterns_migrator TO %I', current_user);
        END IF;
    END IF;
END
$roles$;

-- Migrations change tables that others made, as their owner. Whoever owns them today keeps what they have: the migrator
-- becomes a member of that role. Nobody becomes a member of a superuser or of an administrator: what one of them owns becomes
-- the migrator's, whose member the administrator is.
DO $owner$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT changed.oid::regclass AS name, owner.rolname,
            owner.rolsuper OR owner.rolname = current_user AS is_given,
            CASE changed.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind
        FROM pg_class AS relation
        -- What changes a partitioned table changes its partitions, whose owners may be others.
        CROSS JOIN LATERAL (
            SELECT relation.oid
            UNION
            SELECT relid FROM pg_partition_tree(relation.oid)
        ) AS tree (oid)
        JOIN pg_class AS changed ON changed.oid = tree.oid
        JOIN pg_roles AS owner ON owner.oid = changed.relowner
        WHERE
            relation.relnamespace = quote_ident(current_schema())::regnamespace
            AND relation.relkind IN ('r', 'p', 'v')
            AND relation.relname = ANY (ARRAY[
                'pattern_lineage_nodes', 'pattern_quality_metrics', 'pattern_quality_runs', 'pattern_templates',
                'pattern_usage_events', 'pattern_relationships', 'pattern_template_relationships', 'pattern_analytics',
                'pattern_template_usage', 'pattern_template_search', 'pattern_learning_traces', 'v_top_patterns',
                'v_pattern_quality_trends', 'v_quality_distribution', 'v_quality_worst_patterns', 'pattern_sync_tombstones',
                'pattern_sync_pruned', 'pattern_sync_database', 'pattern_sync_backups',
                'pattern_sync_checkpoints', 'pattern_sync_dead_letters', 'pattern_sync_digests', 'pattern_sync_runs',
                'pattern_sync_outbox', 'pattern_schema_migrations'
            ])
            -- What an installation has of its own under this name is no table of the migrations.
            AND (
                relation.relname <> 'pattern_relationships'
                OR EXISTS (
                    SELECT FROM pg_attribute
                    WHERE attrelid = relation.oid AND attname = 'strength' AND NOT attisdropped
                )
            )
            AND NOT pg_has_role('patterns_migrator', changed.relowner, 'USAGE')
    LOOP
        IF found.is_given THEN
            EXECUTE format('ALTER %s %s OWNER TO patterns_migrator', found.kind, found.name);
        ELSE
            EXECUTE format('GRANT %I TO patterns_migrator', found.rolname);
        END IF;
    END LOOP;
    -- Indexes of partitions stand in the schemas of these.
    FOR found IN
        SELECT DISTINCT relation.relnamespace::regnamespace AS name
        FROM pg_partition_tree(to_regclass(quote_ident(current_schema()) || '.pattern_lineage_nodes')) AS tree
        JOIN pg_class AS relation ON relation.oid = tree.relid
    LOOP
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %s TO patterns_migrator', found.name);
    END LOOP;
    FOR found IN
        SELECT routine.oid::regprocedure AS name, owner.rolname,
            owner.rolsuper OR owner.rolname = current_user AS is_given
        FROM pg_proc AS routine
        JOIN pg_roles AS owner ON owner.oid = routine.proowner
        WHERE
            routine.pronamespace = quote_ident(current_schema())::regnamespace
            AND obj_description(routine.oid, 'pg_proc') IS NOT NULL
            AND (
                routine.oid IN (
                    to_regprocedure('update_pattern_stats(uuid)'),
                    to_regprocedure('compute_pattern_analytics(timestamptz, timestamptz, uuid)')
                )
                OR routine.proname ~ '^pattern_(sync|usage|quality|learning|search|template_search)_'
            )
            AND NOT pg_has_role('patterns_migrator', routine.proowner, 'USAGE')
    LOOP
        IF found.is_given THEN
            EXECUTE format('ALTER FUNCTION %s OWNER TO patterns_migrator', found.name);
        ELSE
            EXECUTE format('GRANT %I TO patterns_migrator', found.rolname);
        END IF;
    END LOOP;
END
$owner$;

-- What the other two may do with each table. A table that does not exist yet is left out, and so is what an installation
-- has of its own under the name pattern_relationships.
DO $grants$
DECLARE
    wanted record;
    found record;
BEGIN
    FOR wanted IN
        SELECT to_regclass(quote_ident(current_schema()) || '.' || given.name) AS name, given.sync, given.reader
        FROM
            (VALUES
                -- The patterns: no run changes them.
                ('pattern_lineage_nodes', 'SELECT', 'SELECT'),
                -- What the sync keeps. Triggers write tombstones, with the rights of their owner.
                ('pattern_sync_database', 'SELECT', 'SELECT'),
                ('pattern_sync_tombstones', 'SELECT, DELETE', 'SELECT'),
                ('pattern_sync_pruned', 'SELECT, INSERT, UPDATE', 'SELECT'),
                ('pattern_sync_checkpoints', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT'),
                ('pattern_sync_dead_letters', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT'),
                ('pattern_sync_digests', 'SELECT, INSERT, UPDATE, DELETE', NULL),
                ('pattern_sync_runs', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT'),
                ('pattern_sync_outbox', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT'),
                ('pattern_sync_backups', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT'),
                ('pattern_schema_migrations', 'SELECT', 'SELECT'),
                -- Scores.
                ('pattern_quality_metrics', 'SELECT, INSERT, UPDATE', 'SELECT'),
                ('pattern_quality_runs', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT'),
                ('v_quality_distribution', 'SELECT', 'SELECT'),
                ('v_quality_worst_patterns', 'SELECT', 'SELECT'),
                -- The storage layer. Triggers write the usage counters and the search index, with the rights of their owner.
                ('pattern_templates', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT'),
                ('pattern_usage_events', 'SELECT, INSERT', 'SELECT'),
                ('pattern_template_relationships', 'SELECT, INSERT, UPDATE', 'SELECT'),
                ('pattern_analytics', 'SELECT, INSERT, UPDATE', 'SELECT'),
                ('pattern_template_usage', 'SELECT', 'SELECT'),
                ('pattern_template_search', 'SELECT', 'SELECT'),
                ('pattern_learning_traces', 'SELECT, INSERT, DELETE', NULL),
                ('v_top_patterns', 'SELECT', 'SELECT'),
                ('v_pattern_quality_trends', 'SELECT', 'SELECT')) AS given (name, sync, reader)
        UNION ALL
        -- The table behind the view of the name before.
        SELECT to_regclass(quote_ident(current_schema()) || '.pattern_relationships'), 'SELECT, INSERT, UPDATE', 'SELECT'
        FROM pg_class
        WHERE
            oid = to_regclass(quote_ident(current_schema()) || '.pattern_template_relationships')
            AND relkind = 'v'
    LOOP
        CONTINUE WHEN wanted.name IS NULL;
        EXECUTE format('REVOKE ALL ON %s FROM patterns_sync, patterns_reader', wanted.name);
        EXECUTE format('GRANT %s ON %s TO patterns_sync', wanted.sync, wanted.name);
        IF wanted.reader IS NOT NULL THEN
            EXECUTE format('GRANT %s ON %s TO patterns_reader', wanted.reader, wanted.name);
        END IF;
        -- pg_dump, as pattern_backup and docs/restore.md name it, reads each partition as a table of its own.
        FOR found IN
            SELECT relation.oid::regclass AS name, relation.relnamespace::regnamespace AS schema
            FROM pg_partition_tree(wanted.name) AS tree
            JOIN pg_class AS relation ON relation.oid = tree.relid
            WHERE tree.level > 0
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM patterns_sync, patterns_reader', found.name);
            EXECUTE format('GRANT USAGE ON SCHEMA %s TO patterns_sync', found.schema);
            EXECUTE format('GRANT SELECT ON %s TO patterns_sync', found.name);
        END LOOP;
    END LOOP;
    -- It reads the sequences of these tables too.
    FOR wanted IN
        SELECT sequence.oid::regclass AS name
        FROM pg_class AS sequence
        JOIN pg_depend AS owned
            ON owned.classid = 'pg_class'::regclass AND owned.objid = sequence.oid
            AND owned.refclassid = 'pg_class'::regclass AND owned.deptype IN ('a', 'i')
        JOIN pg_class AS relation ON relation.oid = owned.refobjid
        WHERE
            sequence.relkind = 'S'
            AND relation.relnamespace = quote_ident(current_schema())::regnamespace
            AND relation.relname LIKE 'pattern\_%'
            AND has_table_privilege('patterns_sync', relation.oid, 'SELECT')
    LOOP
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO patterns_sync', wanted.name);
    END LOOP;
    -- What the storage layer calls. Everybody may, unless somebody has taken that right from PUBLIC.
    FOR wanted IN
        SELECT routine.oid::regprocedure AS name
        FROM pg_proc AS routine
        WHERE
            routine.pronamespace = quote_ident(current_schema())::regnamespace
            AND routine.prorettype <> 'trigger'::regtype
            AND obj_description(routine.oid, 'pg_proc') IS NOT NULL
            AND (
                routine.oid IN (
                    to_regprocedure('update_pattern_stats(uuid)'),
                    to_regprocedure('compute_pattern_analytics(timestamptz, timestamptz, uuid)')
                )
                OR routine.proname ~ '^pattern_(search|usage)_'
            )
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO patterns_sync', wanted.name);
    END LOOP;
END
$grants$;

COMMIT;
