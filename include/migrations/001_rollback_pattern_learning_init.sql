-- 001 back (in parts): removes the views, functions and triggers of migration 001 and those of its tables that hold nothing.
--
-- No row is lost: a table stays when it holds a row, when it existed before migration 001 (its comment does not say
-- "Created by migration 001."), or when a table or view that stays refers to it. Each one that stays is named in a notice,
-- keeps its columns and constraints, and is adopted again by the next run of 001. The counters of pattern_template_usage
-- go; that run fills them from the events again. Tables and views of others stay as they are, pattern_relationships of
-- somebody else among them.

-- part (each row a statement): the views
SELECT 'short' AS word, 'DROP VIEW ' || oid::regclass AS text
FROM pg_class
WHERE
    oid IN (
        to_regclass('v_top_patterns'), to_regclass('v_pattern_quality_trends'),
        to_regclass('pattern_template_relationships')
    )
    AND relkind = 'v'
    AND obj_description(oid, 'pg_class') LIKE '%Created by migration 001.';

-- part (each row a statement): the views that had these names before
SELECT 'short' AS word, format('ALTER VIEW %s RENAME TO %I', oid::regclass, replace(relname, '_of_before', '')) AS text
FROM pg_class
WHERE
    oid IN (to_regclass('v_top_patterns_of_before'), to_regclass('v_pattern_quality_trends_of_before'))
    AND relkind = 'v'
    AND to_regclass(replace(relname, '_of_before', '')) IS NULL;

-- part: triggers of usage events
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats_of_changed ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats_of_deleted ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats_of_truncated ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_set_improvement ON pattern_usage_events;

-- part: the trigger of templates
DROP TRIGGER IF EXISTS zz_pattern_templates_touch ON pattern_templates;

-- part (each row a statement): the trigger of relationships
SELECT
    'short' AS word,
    format('DROP TRIGGER zz_pattern_relationships_touch ON %s', tgrelid::regclass) AS text
FROM pg_trigger
WHERE
    tgname = 'zz_pattern_relationships_touch'
    AND tgrelid IN (to_regclass('pattern_relationships'), to_regclass('pattern_template_relationships'));

-- part: functions
DROP FUNCTION IF EXISTS pattern_usage_events_update_stats();
DROP FUNCTION IF EXISTS pattern_usage_events_set_improvement();
DROP FUNCTION IF EXISTS pattern_learning_touch();
DROP FUNCTION IF EXISTS compute_pattern_analytics(timestamptz, timestamptz, uuid);
DROP FUNCTION IF EXISTS update_pattern_stats(uuid);
DROP FUNCTION IF EXISTS pattern_usage_averageable(anyelement);
DROP FUNCTION IF EXISTS pattern_usage_recount(uuid);
DROP TABLE IF EXISTS pattern_template_usage;

-- part (each row a statement): the functions that had these names before
SELECT 'short' AS word, format('ALTER FUNCTION %s RENAME TO %I', oid::regprocedure, replace(proname, '_of_before', '')) AS text
FROM pg_proc
WHERE oid IN (
    to_regprocedure('update_pattern_stats_of_before(uuid)'),
    to_regprocedure('compute_pattern_analytics_of_before(timestamptz, timestamptz, uuid)')
);

-- part: empty tables
DO $drop$
DECLARE
    candidate text;
    referring regclass;
    has_rows boolean;
BEGIN
    -- Referring tables before the ones they refer to.
    FOREACH candidate IN ARRAY ARRAY['pattern_analytics', 'pattern_relationships', 'pattern_template_relationships',
        'pattern_usage_events', 'pattern_templates', 'pattern_quality_metrics', 'pattern_lineage_nodes']
    LOOP
        CONTINUE WHEN to_regclass(candidate) IS NULL;
        IF obj_description(to_regclass(candidate), 'pg_class') IS NULL
            OR obj_description(to_regclass(candidate), 'pg_class') NOT LIKE '%Created by migration 001.' THEN
            RAISE NOTICE 'Table % stays: it existed before migration 001', candidate;
            CONTINUE;
        END IF;
        -- Without a lock first, so that nobody waits for a table that stays.
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', candidate) INTO has_rows;
        IF NOT has_rows THEN
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', candidate);
            EXECUTE format('SELECT EXISTS (SELECT FROM %I)', candidate) INTO has_rows;
        END IF;
        IF has_rows THEN
            RAISE NOTICE 'Table % stays: it holds rows', candidate;
            CONTINUE;
        END IF;
        SELECT conrelid::regclass INTO referring FROM pg_constraint
        WHERE contype = 'f' AND confrelid = to_regclass(candidate) AND conrelid <> confrelid
        LIMIT 1;
        IF FOUND THEN
            RAISE NOTICE 'Table % stays: table % refers to it', candidate, referring;
            CONTINUE;
        END IF;
        SELECT rule.ev_class::regclass INTO referring
        FROM pg_depend AS found
        JOIN pg_rewrite AS rule ON found.classid = 'pg_rewrite'::regclass AND rule.oid = found.objid
        WHERE found.refclassid = 'pg_class'::regclass AND found.refobjid = to_regclass(candidate)
            AND rule.ev_class <> found.refobjid
        LIMIT 1;
        IF FOUND THEN
            RAISE NOTICE 'Table % stays: view % reads it', candidate, referring;
            CONTINUE;
        END IF;
        EXECUTE format('DROP TABLE %I', candidate);
    END LOOP;
END
$drop$;
