-- 001 back: removes the views, functions and triggers of migration 001 and those of its tables that hold nothing.
--
-- No row is lost: a table stays when it holds a row, when it existed before migration 001 (its comment does not say
-- "Created by migration 001."), or when a table that stays refers to it. Each one that stays is named in a notice,
-- keeps its columns and constraints, and is adopted again by the next run of 001. The counters of pattern_template_usage
-- go; that run fills them from the events again.

DROP VIEW IF EXISTS v_top_patterns;
DROP VIEW IF EXISTS v_pattern_quality_trends;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats_of_changed ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats_of_deleted ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_update_stats_of_truncated ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_usage_events_set_improvement ON pattern_usage_events;
DROP TRIGGER IF EXISTS zz_pattern_templates_touch ON pattern_templates;
DROP TRIGGER IF EXISTS zz_pattern_relationships_touch ON pattern_relationships;
DROP FUNCTION IF EXISTS pattern_usage_events_update_stats();
DROP FUNCTION IF EXISTS pattern_usage_events_set_improvement();
DROP FUNCTION IF EXISTS pattern_learning_touch();
DROP FUNCTION IF EXISTS compute_pattern_analytics(timestamptz, timestamptz, uuid);
DROP FUNCTION IF EXISTS update_pattern_stats(uuid);
DROP FUNCTION IF EXISTS pattern_usage_recount(uuid);
DROP TABLE IF EXISTS pattern_template_usage;

DO $drop$
DECLARE
    candidate text;
    referring regclass;
    has_rows boolean;
BEGIN
    -- Referring tables before the ones they refer to.
    FOREACH candidate IN ARRAY ARRAY['pattern_analytics', 'pattern_relationships', 'pattern_usage_events',
        'pattern_templates', 'pattern_quality_metrics', 'pattern_lineage_nodes']
    LOOP
        CONTINUE WHEN to_regclass(candidate) IS NULL;
        IF obj_description(to_regclass(candidate), 'pg_class') IS NULL
            OR obj_description(to_regclass(candidate), 'pg_class') NOT LIKE '%Created by migration 001.' THEN
            RAISE NOTICE 'Table % stays: it existed before migration 001', candidate;
            CONTINUE;
        END IF;
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', candidate);
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', candidate) INTO has_rows;
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
        EXECUTE format('DROP TABLE %I', candidate);
    END LOOP;
END
$drop$;
