-- 001: the lineage, quality and pattern learning tables, their views, functions and triggers.
--
-- Adopts what is there. A table that exists keeps its rows, its further columns, indexes, triggers and comments.
-- It gets the columns, defaults, keys and checks it lacks; a foreign key or unique key on the same columns with
-- other rules is replaced. Column types narrower than the ones below are widened (varchar(50) to varchar(255),
-- numeric to double precision, json to jsonb); wider text and integer types stay. Whatever could lose or
-- reinterpret data (a timestamp without time zone, an id kept as text) stops the migration with the statement to run.
--
-- Two repairs of derived data in adopted tables: pattern_analytics keeps only the newest row of a period, and
-- quality_improvement is recomputed where it disagrees with quality_after - quality_before.
-- pattern_quality_metrics gets its foreign key only when it is created here: in an existing table either it is
-- there already or scores without lineage rule it out, and migration 013 removes it anyway.
-- A partitioned table keeps its own keys. Its ids have to be unique over all partitions all the same.
--
-- Triggers keep usage_count, success_rate and last_used_at of a template right when its events are inserted, changed,
-- deleted or truncated. They add to counters in pattern_template_usage, so an event costs the same however many there
-- were before. The counters are filled from the events that exist; writers of events wait meanwhile. The templates are
-- not changed by that: one whose numbers never agreed with its events keeps them until its next event. Events written
-- with triggers switched off are counted when update_pattern_stats is called for their template.
--
-- The two views and the two public functions are created anew: grants on older ones have to be given again.
-- Where a column type was widened, sessions that were open meanwhile may hold stale plans of a user's own functions
-- ("type of parameter ... does not match that when preparing the plan"): let them reconnect.
--
-- Tables created here say so in their comment; the rollback drops those of them that are empty, and nothing else.

-- The views come first: a column whose type is widened below must not be in use by them.
DROP VIEW IF EXISTS v_top_patterns;
DROP VIEW IF EXISTS v_pattern_quality_trends;

DO $adopt$
DECLARE
    wanted record;
    present record;
    created text[] := '{}';
    found_relation regclass;
    violations bigint;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('pattern_lineage_nodes', 'The source of truth for patterns: one row per pattern version.'),
            ('pattern_quality_metrics', 'The current quality score of each pattern.'),
            ('pattern_templates', 'Patterns worth reusing, with what is known about how well they work.'),
            ('pattern_usage_events', 'One row per use of a template; inserting one updates the template.'),
            ('pattern_relationships', 'How templates relate to one another.'),
            ('pattern_analytics', 'Usage of a period, per template or over all of them.')
        ) AS tables (name, description)
    LOOP
        found_relation := to_regclass(wanted.name);
        IF found_relation IS NULL THEN
            EXECUTE format('CREATE TABLE %I (id uuid PRIMARY KEY DEFAULT gen_random_uuid())', wanted.name);
            EXECUTE format('COMMENT ON TABLE %I IS %L', wanted.name,
                wanted.description || ' Created by migration 001.');
            created := created || wanted.name::text;
            CONTINUE;
        END IF;
        SELECT relkind, relnamespace::regnamespace::text AS schema_name INTO present
        FROM pg_class WHERE oid = found_relation;
        IF present.schema_name <> quote_ident(current_schema()) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_schema_name',
                MESSAGE = format('Table %s exists in schema %s, but new tables would be created in schema %s.',
                    wanted.name, present.schema_name, quote_ident(current_schema())),
                HINT = format('Put the schema of the existing tables first on the search_path of the login, for example '
                    'with the connection''s extra {"options": "-c search_path=%s"}.', present.schema_name);
        END IF;
        IF present.relkind NOT IN ('r', 'p') THEN
            RAISE EXCEPTION USING ERRCODE = 'wrong_object_type',
                MESSAGE = format('%s exists but is not a table.', wanted.name),
                HINT = 'Rename or drop it, then run the migration again.';
        END IF;
        IF obj_description(found_relation, 'pg_class') IS NULL THEN
            EXECUTE format('COMMENT ON TABLE %I IS %L', wanted.name, wanted.description);
        END IF;
        RAISE NOTICE 'Table % exists and is adopted; its rows stay as they are', wanted.name;
    END LOOP;

    FOR wanted IN
        SELECT * FROM (VALUES
            -- table, column, type, default, not null, meaning
            ('pattern_lineage_nodes', 'id', 'uuid', 'gen_random_uuid()', true, 'Identity of this version; also its id in Qdrant'),
            ('pattern_lineage_nodes', 'pattern_id', 'character varying(255)', NULL, false, 'Identity of the pattern over its versions'),
            ('pattern_lineage_nodes', 'pattern_name', 'character varying(255)', NULL, false, 'Name for people'),
            ('pattern_lineage_nodes', 'pattern_type', 'character varying(100)', NULL, false, 'code, config, template or workflow; only code is synced'),
            ('pattern_lineage_nodes', 'pattern_version', 'character varying(50)', '''1.0.0''', false, 'Version of the pattern'),
            ('pattern_lineage_nodes', 'lineage_id', 'uuid', NULL, false, 'Groups the versions of one lineage'),
            ('pattern_lineage_nodes', 'generation', 'integer', '1', false, 'Position in the lineage, from 1'),
            ('pattern_lineage_nodes', 'source_system', 'character varying(100)', NULL, false, 'System that recorded the pattern'),
            ('pattern_lineage_nodes', 'source_user', 'character varying(100)', NULL, false, 'User that recorded the pattern'),
            ('pattern_lineage_nodes', 'source_event_id', 'uuid', NULL, false, 'Event that recorded the pattern'),
            ('pattern_lineage_nodes', 'pattern_data', 'jsonb', NULL, true, 'The pattern; its code at key code. Older rows hold a JSON string that contains JSON'),
            ('pattern_lineage_nodes', 'metadata', 'jsonb', '''{}''', false, 'Whatever else is known about the pattern'),
            ('pattern_lineage_nodes', 'correlation_id', 'uuid', NULL, false, 'Request that recorded the pattern'),
            ('pattern_lineage_nodes', 'created_at', 'timestamp with time zone', 'now()', false, 'When the row was recorded'),
            ('pattern_lineage_nodes', 'event_type', 'character varying(100)', NULL, false, 'Kind of event that recorded the pattern'),
            ('pattern_lineage_nodes', 'tool_name', 'character varying(255)', NULL, false, 'Tool that recorded the pattern'),
            ('pattern_lineage_nodes', 'file_path', 'text', NULL, false, 'File the code comes from'),
            ('pattern_lineage_nodes', 'language', 'character varying(50)', NULL, false, 'Programming language of the code'),

            ('pattern_quality_metrics', 'id', 'uuid', 'gen_random_uuid()', true, 'Identity of the measurement'),
            ('pattern_quality_metrics', 'pattern_id', 'uuid', NULL, true, 'Pattern that was scored; it need not have lineage'),
            ('pattern_quality_metrics', 'quality_score', 'double precision', NULL, true, 'Weighted composite of the dimensions, 0 to 1'),
            ('pattern_quality_metrics', 'confidence', 'double precision', NULL, false, 'Confidence the pattern itself carries, 0 to 1'),
            ('pattern_quality_metrics', 'measurement_timestamp', 'timestamp with time zone', 'now()', false, 'When it was scored'),
            ('pattern_quality_metrics', 'version', 'text', '''1.0.0''', false, 'Version of the scorer'),
            ('pattern_quality_metrics', 'metadata', 'jsonb', '''{}''', false, 'Score of each dimension and further facts'),

            ('pattern_templates', 'id', 'uuid', 'gen_random_uuid()', true, 'Identity of the template'),
            ('pattern_templates', 'pattern_name', 'text', NULL, true, 'Name, unique together with type and language'),
            ('pattern_templates', 'pattern_type', 'text', NULL, true, 'Kind of pattern'),
            ('pattern_templates', 'language', 'text', NULL, false, 'Programming language'),
            ('pattern_templates', 'category', 'text', NULL, false, 'Category for people'),
            ('pattern_templates', 'template_code', 'text', NULL, false, 'The code to reuse'),
            ('pattern_templates', 'description', 'text', NULL, false, 'What it is for'),
            ('pattern_templates', 'example_usage', 'text', NULL, false, 'How it is used'),
            ('pattern_templates', 'source', 'text', NULL, false, 'Where it was found'),
            ('pattern_templates', 'confidence_score', 'double precision', '0.5', false, 'Confidence, 0 to 1'),
            ('pattern_templates', 'usage_count', 'bigint', '0', false, 'Number of usage events'),
            ('pattern_templates', 'success_rate', 'double precision', '0.5', false, 'Share of successes among the events with a known outcome'),
            ('pattern_templates', 'complexity_score', 'double precision', NULL, false, 'Complexity on the scale of whoever measured it'),
            ('pattern_templates', 'maintainability_score', 'double precision', NULL, false, 'Maintainability'),
            ('pattern_templates', 'performance_score', 'double precision', NULL, false, 'Performance'),
            ('pattern_templates', 'parent_pattern_id', 'uuid', NULL, false, 'Template this one was derived from'),
            ('pattern_templates', 'is_deprecated', 'boolean', 'false', false, 'No longer recommended'),
            ('pattern_templates', 'deprecated_by_id', 'uuid', NULL, false, 'Template to use in its place'),
            ('pattern_templates', 'discovered_at', 'timestamp with time zone', 'now()', false, 'When it was recorded'),
            ('pattern_templates', 'last_used_at', 'timestamp with time zone', NULL, false, 'Time of the latest usage event'),
            ('pattern_templates', 'updated_at', 'timestamp with time zone', 'now()', false, 'Time of the latest change'),
            ('pattern_templates', 'created_by', 'text', '''system''', false, 'Who recorded it'),
            ('pattern_templates', 'tags', 'text[]', NULL, false, 'Labels'),
            ('pattern_templates', 'context', 'jsonb', NULL, false, 'Whatever else is known about it'),

            ('pattern_usage_events', 'id', 'uuid', 'gen_random_uuid()', true, 'Identity of the event'),
            ('pattern_usage_events', 'pattern_id', 'uuid', NULL, true, 'Template that was used'),
            ('pattern_usage_events', 'correlation_id', 'uuid', NULL, false, 'Request it was used in'),
            ('pattern_usage_events', 'file_path', 'text', NULL, false, 'File it was used in'),
            ('pattern_usage_events', 'project_id', 'uuid', NULL, false, 'Project it was used in'),
            ('pattern_usage_events', 'success', 'boolean', NULL, false, 'Outcome; NULL when it is not known'),
            ('pattern_usage_events', 'execution_time_ms', 'integer', NULL, false, 'Run time in milliseconds'),
            ('pattern_usage_events', 'error_message', 'text', NULL, false, 'Reason of a failure'),
            ('pattern_usage_events', 'quality_before', 'double precision', NULL, false, 'Quality before the use'),
            ('pattern_usage_events', 'quality_after', 'double precision', NULL, false, 'Quality after the use'),
            ('pattern_usage_events', 'quality_improvement', 'double precision', NULL, false, 'quality_after - quality_before, set by the database'),
            ('pattern_usage_events', 'context', 'jsonb', NULL, false, 'Whatever else is known about the use'),
            ('pattern_usage_events', 'tags', 'text[]', NULL, false, 'Labels'),
            ('pattern_usage_events', 'used_at', 'timestamp with time zone', 'now()', false, 'Time of the use'),

            ('pattern_relationships', 'id', 'uuid', 'gen_random_uuid()', true, 'Identity of the relationship'),
            ('pattern_relationships', 'source_pattern_id', 'uuid', NULL, true, 'Template the relationship starts from'),
            ('pattern_relationships', 'target_pattern_id', 'uuid', NULL, true, 'Template it leads to'),
            ('pattern_relationships', 'relationship_type', 'text', NULL, true, 'similar, extends, conflicts and others'),
            ('pattern_relationships', 'strength', 'double precision', '0.5', false, 'Strength, 0 to 1'),
            ('pattern_relationships', 'description', 'text', NULL, false, 'Explanation for people'),
            ('pattern_relationships', 'context', 'jsonb', NULL, false, 'Whatever else is known about it'),
            ('pattern_relationships', 'discovered_at', 'timestamp with time zone', 'now()', false, 'When it was recorded'),
            ('pattern_relationships', 'updated_at', 'timestamp with time zone', 'now()', false, 'Time of the latest change'),

            ('pattern_analytics', 'id', 'uuid', 'gen_random_uuid()', true, 'Identity of the row; recomputing a period keeps it'),
            ('pattern_analytics', 'period_start', 'timestamp with time zone', NULL, true, 'Start of the period, included'),
            ('pattern_analytics', 'period_end', 'timestamp with time zone', NULL, true, 'End of the period, excluded'),
            ('pattern_analytics', 'pattern_id', 'uuid', NULL, false, 'Template; NULL means all of them'),
            ('pattern_analytics', 'total_usage_count', 'bigint', '0', false, 'Usage events in the period'),
            ('pattern_analytics', 'success_count', 'bigint', '0', false, 'Events that succeeded'),
            ('pattern_analytics', 'failure_count', 'bigint', '0', false, 'Events that failed'),
            ('pattern_analytics', 'average_execution_time_ms', 'double precision', NULL, false, 'Mean run time in milliseconds'),
            ('pattern_analytics', 'average_quality_improvement', 'double precision', NULL, false, 'Mean quality improvement'),
            ('pattern_analytics', 'top_patterns', 'jsonb', NULL, false, 'The ten most used templates of the period, most used first'),
            ('pattern_analytics', 'trend_direction', 'text', NULL, false, 'increasing, decreasing or stable against the period before'),
            ('pattern_analytics', 'trend_strength', 'double precision', NULL, false, 'Change of usage against the period before, 0 to 1'),
            ('pattern_analytics', 'computed_at', 'timestamp with time zone', 'now()', false, 'When the row was computed')
        ) AS columns (table_name, name, type, default_value, required, description)
    LOOP
        SELECT format_type(atttypid, atttypmod) AS type, attnotnull AS required, attgenerated AS generated,
               atttypmod - 4 AS length, col_description(attrelid, attnum) AS description
        INTO present
        FROM pg_attribute
        WHERE attrelid = to_regclass(wanted.table_name) AND attname = wanted.name AND NOT attisdropped;

        -- A trigger computes the improvement below. A virtual column holds no data, so nothing is lost with it.
        IF present.generated = 'v' AND wanted.name = 'quality_improvement' THEN
            EXECUTE format('ALTER TABLE %I DROP COLUMN %I', wanted.table_name, wanted.name);
        END IF;
        IF NOT FOUND OR (present.generated = 'v' AND wanted.name = 'quality_improvement') THEN
            EXECUTE format('ALTER TABLE %I ADD COLUMN %I %s', wanted.table_name, wanted.name,
                wanted.type || coalesce(' DEFAULT ' || wanted.default_value, ''));
            present.required := false;
            present.description := NULL;
        ELSE
            IF present.generated = 's' AND wanted.name = 'quality_improvement' THEN
                EXECUTE format('ALTER TABLE %I ALTER COLUMN %I DROP EXPRESSION', wanted.table_name, wanted.name);
            END IF;
            IF present.type <> wanted.type THEN
                IF (wanted.type LIKE 'character varying(%'
                        AND present.type LIKE 'character varying(%'
                        AND present.length < substring(wanted.type FROM '\d+')::int)
                    OR (wanted.type = 'text' AND present.type ~ '^character(\(| varying)')
                    OR (wanted.type = 'text[]' AND present.type ~ '^character varying.*\[\]$')
                    OR (wanted.type = 'double precision' AND present.type ~ '^(smallint|integer|bigint|real|numeric)')
                    OR (wanted.type = 'bigint' AND present.type IN ('smallint', 'integer'))
                    OR (wanted.type = 'integer' AND present.type = 'smallint')
                    OR (wanted.type = 'jsonb' AND present.type = 'json')
                THEN
                    EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE %s USING %I::%s',
                        wanted.table_name, wanted.name, wanted.type, wanted.name, wanted.type);
                ELSIF NOT (wanted.type LIKE 'character varying(%'
                        AND (present.type = 'text' OR present.type LIKE 'character varying%'))
                    AND NOT (wanted.type = 'integer' AND present.type = 'bigint')
                THEN
                    RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
                        MESSAGE = format('Column %s.%s has type %s where %s is needed.',
                            wanted.table_name, wanted.name, present.type, wanted.type),
                        HINT = CASE
                            WHEN present.type = 'timestamp without time zone' THEN format(
                                'Convert it first, naming the time zone its values were written in: ALTER TABLE %I ALTER '
                                'COLUMN %I TYPE timestamptz USING %I AT TIME ZONE ''UTC'';',
                                wanted.table_name, wanted.name, wanted.name)
                            ELSE format(
                                'Convert it first, after looking at its values: ALTER TABLE %I ALTER COLUMN %I TYPE %s '
                                'USING %I::%s;',
                                wanted.table_name, wanted.name, wanted.type, wanted.name, wanted.type)
                        END;
                END IF;
            END IF;
            IF wanted.default_value IS NOT NULL AND present.generated = '' THEN
                EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT %s',
                    wanted.table_name, wanted.name, wanted.default_value);
            END IF;
        END IF;

        IF wanted.required AND NOT present.required THEN
            EXECUTE format('SELECT count(*) FROM %I WHERE %I IS NULL', wanted.table_name, wanted.name) INTO violations;
            IF violations > 0 THEN
                RAISE EXCEPTION USING ERRCODE = 'not_null_violation',
                    MESSAGE = format('%s rows of %s have no %s.', violations, wanted.table_name, wanted.name),
                    HINT = format('Complete or delete them, then run the migration again. They are: SELECT * FROM %I WHERE '
                        '%I IS NULL;', wanted.table_name, wanted.name);
            END IF;
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET NOT NULL', wanted.table_name, wanted.name);
        END IF;
        IF present.description IS NULL THEN
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', wanted.table_name, wanted.name, wanted.description);
        END IF;
    END LOOP;

    DELETE FROM pattern_analytics AS stale
    USING (
        SELECT id, row_number() OVER (
            PARTITION BY period_start, period_end, pattern_id ORDER BY computed_at DESC NULLS LAST, id DESC
        ) AS position
        FROM pattern_analytics
    ) AS ranked
    WHERE ranked.id = stale.id AND ranked.position > 1;
    GET DIAGNOSTICS violations = ROW_COUNT;
    IF violations > 0 THEN
        RAISE NOTICE '% superseded rows removed from pattern_analytics', violations;
    END IF;

    FOR wanted IN
        SELECT tables.name AS table_name, tables.name || '_pkey' AS name, 'PRIMARY KEY (id)' AS definition
        FROM unnest(ARRAY['pattern_lineage_nodes', 'pattern_quality_metrics', 'pattern_templates',
            'pattern_usage_events', 'pattern_relationships', 'pattern_analytics']) AS tables (name)
        UNION ALL
        SELECT * FROM (VALUES
            -- Definitions as pg_get_constraintdef prints them: an equal one under another name is accepted.
            ('pattern_lineage_nodes', 'pattern_lineage_nodes_pattern_id_pattern_version_key',
                'UNIQUE (pattern_id, pattern_version)'),
            ('pattern_templates', 'pattern_templates_name_type_language_unique',
                'UNIQUE NULLS NOT DISTINCT (pattern_name, pattern_type, language)'),
            ('pattern_templates', 'pattern_templates_confidence_score_check',
                'CHECK (((confidence_score >= (0)::double precision) AND (confidence_score <= (1)::double precision)))'),
            ('pattern_templates', 'pattern_templates_success_rate_check',
                'CHECK (((success_rate >= (0)::double precision) AND (success_rate <= (1)::double precision)))'),
            ('pattern_templates', 'pattern_templates_parent_pattern_id_fkey',
                'FOREIGN KEY (parent_pattern_id) REFERENCES pattern_templates(id) ON DELETE SET NULL'),
            ('pattern_templates', 'pattern_templates_deprecated_by_id_fkey',
                'FOREIGN KEY (deprecated_by_id) REFERENCES pattern_templates(id) ON DELETE SET NULL'),
            ('pattern_usage_events', 'pattern_usage_events_pattern_id_fkey',
                'FOREIGN KEY (pattern_id) REFERENCES pattern_templates(id) ON DELETE CASCADE'),
            ('pattern_relationships', 'pattern_relationships_source_target_type_unique',
                'UNIQUE (source_pattern_id, target_pattern_id, relationship_type)'),
            ('pattern_relationships', 'pattern_relationships_strength_check',
                'CHECK (((strength >= (0)::double precision) AND (strength <= (1)::double precision)))'),
            ('pattern_relationships', 'pattern_relationships_not_to_itself_check',
                'CHECK ((source_pattern_id <> target_pattern_id))'),
            ('pattern_relationships', 'pattern_relationships_source_pattern_id_fkey',
                'FOREIGN KEY (source_pattern_id) REFERENCES pattern_templates(id) ON DELETE CASCADE'),
            ('pattern_relationships', 'pattern_relationships_target_pattern_id_fkey',
                'FOREIGN KEY (target_pattern_id) REFERENCES pattern_templates(id) ON DELETE CASCADE'),
            ('pattern_analytics', 'pattern_analytics_period_pattern_unique',
                'UNIQUE NULLS NOT DISTINCT (period_start, period_end, pattern_id)'),
            ('pattern_analytics', 'pattern_analytics_pattern_id_fkey',
                'FOREIGN KEY (pattern_id) REFERENCES pattern_templates(id) ON DELETE CASCADE')
        ) AS constraints (table_name, name, definition)
        UNION ALL
        SELECT 'pattern_quality_metrics', 'pattern_quality_metrics_pattern_id_fkey',
            'FOREIGN KEY (pattern_id) REFERENCES pattern_lineage_nodes(id) ON DELETE CASCADE'
        WHERE 'pattern_quality_metrics' = ANY (created)
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_constraint
            WHERE conrelid = to_regclass(wanted.table_name)
                AND convalidated
                AND (pg_get_constraintdef(oid) = wanted.definition OR (contype = 'c' AND conname = wanted.name))
        );
        -- A key of a partitioned table must hold the partition key: which columns that takes, its owner decides.
        IF wanted.definition ~ '^(PRIMARY KEY|UNIQUE)'
                AND wanted.table_name::regclass IN (SELECT partrelid FROM pg_partitioned_table)
            OR to_regclass(substring(wanted.definition FROM 'REFERENCES (\w+)'))
                IN (SELECT partrelid FROM pg_partitioned_table)
        THEN
            RAISE NOTICE 'Key % of % is left out, because a partitioned table cannot have it', wanted.name, wanted.table_name;
            CONTINUE;
        END IF;
        FOR present IN
            -- Same kind and same columns, other rules: pg_get_constraintdef opens with both.
            SELECT conname FROM pg_constraint
            WHERE conrelid = to_regclass(wanted.table_name)
                AND contype IN ('f', 'u')
                AND substring(replace(pg_get_constraintdef(oid), ' NULLS NOT DISTINCT', '') FROM '^[^)]*\)')
                    = substring(replace(wanted.definition, ' NULLS NOT DISTINCT', '') FROM '^[^)]*\)')
        LOOP
            RAISE NOTICE 'Constraint % of % is replaced', present.conname, wanted.table_name;
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', wanted.table_name, present.conname);
        END LOOP;
        IF wanted.definition ~ '^(PRIMARY KEY|UNIQUE)' AND to_regclass(wanted.name) IS NOT NULL THEN
            -- Keys are named like relations: a table that was renamed keeps the name of its key.
            EXECUTE format('ALTER TABLE %I ADD %s', wanted.table_name, wanted.definition);
        ELSE
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I %s', wanted.table_name, wanted.name, wanted.definition);
        END IF;
    END LOOP;
END
$adopt$;

CREATE TABLE IF NOT EXISTS pattern_template_usage (
    pattern_id uuid PRIMARY KEY REFERENCES pattern_templates (id) ON DELETE CASCADE,
    events bigint NOT NULL,
    known bigint NOT NULL,
    successes bigint NOT NULL
);
COMMENT ON TABLE pattern_template_usage IS
    'What usage_count and success_rate of templates are made of; kept by triggers on pattern_usage_events.';
COMMENT ON COLUMN pattern_template_usage.pattern_id IS 'Template; one without a row was never used.';
COMMENT ON COLUMN pattern_template_usage.events IS 'Its usage events.';
COMMENT ON COLUMN pattern_template_usage.known IS 'Those with a known outcome.';
COMMENT ON COLUMN pattern_template_usage.successes IS 'Those that succeeded.';

-- Adopted tables may hold NULL in is_deprecated, usage_count and success_rate.
CREATE INDEX IF NOT EXISTS pattern_templates_top_idx
    ON pattern_templates (usage_count DESC NULLS LAST, success_rate DESC NULLS LAST, id)
    WHERE is_deprecated IS NOT TRUE;
-- The order of filtered lists: without it, a condition that most templates meet sorts most of the table.
CREATE INDEX IF NOT EXISTS pattern_templates_confidence_idx
    ON pattern_templates (confidence_score DESC NULLS LAST, usage_count DESC NULLS LAST, pattern_name, id)
    WHERE is_deprecated IS NOT TRUE;
CREATE INDEX IF NOT EXISTS pattern_templates_type_idx ON pattern_templates (pattern_type, language);
CREATE INDEX IF NOT EXISTS pattern_templates_tags_idx ON pattern_templates USING gin (tags);
CREATE INDEX IF NOT EXISTS pattern_templates_parent_idx
    ON pattern_templates (parent_pattern_id) WHERE parent_pattern_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS pattern_templates_deprecated_by_idx
    ON pattern_templates (deprecated_by_id) WHERE deprecated_by_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS pattern_usage_events_pattern_idx
    ON pattern_usage_events (pattern_id, used_at) INCLUDE (success);
CREATE INDEX IF NOT EXISTS pattern_usage_events_used_at_idx ON pattern_usage_events (used_at);
CREATE INDEX IF NOT EXISTS pattern_relationships_target_idx ON pattern_relationships (target_pattern_id);
CREATE INDEX IF NOT EXISTS pattern_analytics_pattern_idx ON pattern_analytics (pattern_id);

-- Older overloads or parameter names would stand in the way of CREATE OR REPLACE.
DO $older$
DECLARE
    older regprocedure;
BEGIN
    FOR older IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
            AND proname IN ('update_pattern_stats', 'compute_pattern_analytics')
    LOOP
        EXECUTE format('DROP FUNCTION %s', older);
    END LOOP;
END
$older$;

CREATE OR REPLACE FUNCTION pattern_usage_recount(counted_pattern uuid) RETURNS SETOF pattern_template_usage
LANGUAGE sql VOLATILE SECURITY DEFINER AS $function$
    INSERT INTO pattern_template_usage (pattern_id, events, known, successes)
    SELECT
        template.id,
        count(event.id),
        count(event.success),
        count(*) FILTER (WHERE event.success)
    FROM pattern_templates AS template
    LEFT JOIN pattern_usage_events AS event ON event.pattern_id = template.id
    WHERE template.id = counted_pattern
    GROUP BY template.id
    ON CONFLICT (pattern_id) DO UPDATE SET
        events = excluded.events,
        known = excluded.known,
        successes = excluded.successes
    RETURNING *
$function$;
COMMENT ON FUNCTION pattern_usage_recount(uuid) IS
    'Count the events of a template anew. Whoever calls it holds the lock of the template, as update_pattern_stats does.';

CREATE FUNCTION update_pattern_stats(pattern_id uuid) RETURNS void
LANGUAGE plpgsql AS $function$
BEGIN
    -- The lock makes concurrent events of one template count one after the other: the statement below then reads with
    -- a snapshot taken after the other transaction has committed. NO KEY: the events' foreign key checks hold KEY SHARE.
    PERFORM FROM pattern_templates AS template
    WHERE template.id = update_pattern_stats.pattern_id
    FOR NO KEY UPDATE;

    UPDATE pattern_templates AS template
    SET usage_count = usage.events,
        success_rate = coalesce(usage.successes::double precision / nullif(usage.known, 0), template.success_rate),
        last_used_at = coalesce(
            (SELECT max(event.used_at) FROM pattern_usage_events AS event WHERE event.pattern_id = template.id),
            template.last_used_at)
    FROM pattern_usage_recount(update_pattern_stats.pattern_id) AS usage
    WHERE template.id = usage.pattern_id;
END
$function$;
COMMENT ON FUNCTION update_pattern_stats(uuid) IS
    'Recompute usage_count, success_rate and last_used_at of a template from its events. Without events the count becomes 0 and the other two stay.';

CREATE FUNCTION compute_pattern_analytics(
    period_start timestamptz, period_end timestamptz, pattern_id uuid DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql AS $function$
#variable_conflict use_column
DECLARE
    current_usage record;
    previous_count bigint;
    strength double precision;
    top jsonb;
    analytics_id uuid;
BEGIN
    IF compute_pattern_analytics.period_start IS NULL OR compute_pattern_analytics.period_end IS NULL
        OR compute_pattern_analytics.period_start >= compute_pattern_analytics.period_end THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('The period from %s to %s is empty.',
                coalesce(compute_pattern_analytics.period_start::text, 'NULL'),
                coalesce(compute_pattern_analytics.period_end::text, 'NULL')),
            HINT = 'The start must lie before the end.';
    END IF;

    SELECT count(*) AS total,
           count(*) FILTER (WHERE event.success) AS successes,
           count(*) FILTER (WHERE NOT event.success) AS failures,
           avg(event.execution_time_ms)::double precision AS execution_time_ms,
           avg(event.quality_improvement) AS quality_improvement
    INTO current_usage
    FROM pattern_usage_events AS event
    WHERE event.used_at >= compute_pattern_analytics.period_start
        AND event.used_at < compute_pattern_analytics.period_end
        AND (compute_pattern_analytics.pattern_id IS NULL
            OR event.pattern_id = compute_pattern_analytics.pattern_id);

    SELECT count(*) INTO previous_count
    FROM pattern_usage_events AS event
    WHERE event.used_at >= compute_pattern_analytics.period_start
            - (compute_pattern_analytics.period_end - compute_pattern_analytics.period_start)
        AND event.used_at < compute_pattern_analytics.period_start
        AND (compute_pattern_analytics.pattern_id IS NULL
            OR event.pattern_id = compute_pattern_analytics.pattern_id);

    strength := coalesce(
        abs(current_usage.total - previous_count)::double precision
            / nullif(greatest(current_usage.total, previous_count), 0),
        0);

    SELECT coalesce(jsonb_agg(to_jsonb(ranked) ORDER BY ranked.usage_count DESC, ranked.pattern_name, ranked.pattern_id), '[]')
    INTO top
    FROM (
        SELECT event.pattern_id,
               template.pattern_name,
               count(*) AS usage_count,
               avg(event.success::int)::double precision AS success_rate,
               avg(event.quality_improvement) AS avg_quality_improvement
        FROM pattern_usage_events AS event
        JOIN pattern_templates AS template ON template.id = event.pattern_id
        WHERE event.used_at >= compute_pattern_analytics.period_start
            AND event.used_at < compute_pattern_analytics.period_end
            AND (compute_pattern_analytics.pattern_id IS NULL
                OR event.pattern_id = compute_pattern_analytics.pattern_id)
        GROUP BY event.pattern_id, template.pattern_name
        ORDER BY count(*) DESC, template.pattern_name, event.pattern_id
        LIMIT 10
    ) AS ranked;

    INSERT INTO pattern_analytics AS analytics (
        period_start, period_end, pattern_id, total_usage_count, success_count, failure_count,
        average_execution_time_ms, average_quality_improvement, top_patterns, trend_direction, trend_strength, computed_at
    )
    VALUES (
        compute_pattern_analytics.period_start, compute_pattern_analytics.period_end,
        compute_pattern_analytics.pattern_id,
        current_usage.total, current_usage.successes, current_usage.failures,
        current_usage.execution_time_ms, current_usage.quality_improvement, top,
        CASE
            WHEN strength < 0.05 THEN 'stable'
            WHEN current_usage.total > previous_count THEN 'increasing'
            ELSE 'decreasing'
        END,
        strength, now()
    )
    ON CONFLICT (period_start, period_end, pattern_id) DO UPDATE SET
        total_usage_count = excluded.total_usage_count,
        success_count = excluded.success_count,
        failure_count = excluded.failure_count,
        average_execution_time_ms = excluded.average_execution_time_ms,
        average_quality_improvement = excluded.average_quality_improvement,
        top_patterns = excluded.top_patterns,
        trend_direction = excluded.trend_direction,
        trend_strength = excluded.trend_strength,
        computed_at = excluded.computed_at
    RETURNING analytics.id INTO analytics_id;
    RETURN analytics_id;
END
$function$;
COMMENT ON FUNCTION compute_pattern_analytics(timestamptz, timestamptz, uuid) IS
    'Compute the usage of [period_start, period_end) for one template, or for all with NULL, replace the row of that period and return its id. The trend compares the number of events with the period of equal length before; below 5 % it is stable.';

CREATE OR REPLACE FUNCTION pattern_usage_events_update_stats() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $function$
DECLARE
    changes pattern_template_usage[];
    patterns uuid[];
BEGIN
    CASE TG_OP
        WHEN 'INSERT' THEN
            SELECT array_agg(change::pattern_template_usage) INTO changes
            FROM (
                SELECT pattern_id, count(*), count(success), count(*) FILTER (WHERE success)
                FROM inserted
                GROUP BY pattern_id
            ) AS change;
        WHEN 'DELETE' THEN
            SELECT array_agg(change::pattern_template_usage) INTO changes
            FROM (
                SELECT pattern_id, -count(*), -count(success), -count(*) FILTER (WHERE success)
                FROM removed
                GROUP BY pattern_id
            ) AS change;
        WHEN 'UPDATE' THEN
            SELECT array_agg(change::pattern_template_usage) INTO changes
            FROM (
                SELECT
                    pattern_id,
                    sum(sign)::bigint,
                    coalesce(sum(sign) FILTER (WHERE success IS NOT NULL), 0)::bigint,
                    coalesce(sum(sign) FILTER (WHERE success), 0)::bigint
                FROM (
                    SELECT 1 AS sign, pattern_id, success, used_at FROM inserted
                    UNION ALL
                    SELECT -1, pattern_id, success, used_at FROM removed
                ) AS either
                GROUP BY pattern_id
                -- What else an event tells does not concern its template.
                HAVING sum(sign) <> 0
                    OR sum(sign) FILTER (WHERE success IS NOT NULL) <> 0
                    OR sum(sign) FILTER (WHERE success) <> 0
                    OR max(used_at) FILTER (WHERE sign = 1) IS DISTINCT FROM max(used_at) FILTER (WHERE sign = -1)
            ) AS change;
        WHEN 'TRUNCATE' THEN
            SELECT array_agg(change::pattern_template_usage) INTO changes
            FROM (
                SELECT pattern_id, -events, -known, -successes
                FROM pattern_template_usage
                WHERE events <> 0
            ) AS change;
    END CASE;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;

    -- The lock of update_pattern_stats, for the same reason. In order, so that two statements about the same templates
    -- wait for one another instead of deadlocking.
    patterns := ARRAY(SELECT change.pattern_id FROM unnest(changes) AS change);
    PERFORM FROM pattern_templates AS template
    WHERE template.id = ANY (patterns)
    ORDER BY template.id
    FOR NO KEY UPDATE;

    -- Joined, because the events of a template that is being deleted go after it.
    INSERT INTO pattern_template_usage AS usage (pattern_id, events, known, successes)
    SELECT change.pattern_id, change.events, change.known, change.successes
    FROM unnest(changes) AS change
    JOIN pattern_templates AS template ON template.id = change.pattern_id
    ON CONFLICT (pattern_id) DO UPDATE SET
        events = usage.events + excluded.events,
        known = usage.known + excluded.known,
        successes = usage.successes + excluded.successes;

    UPDATE pattern_templates AS template
    -- Events written with triggers switched off can be missing from the counters: removing them is no error.
    SET usage_count = greatest(usage.events, 0),
        success_rate = CASE
            WHEN usage.known > 0 AND usage.successes BETWEEN 0 AND usage.known
            THEN usage.successes::double precision / usage.known
            ELSE template.success_rate
        END,
        last_used_at = coalesce(
            (SELECT max(event.used_at) FROM pattern_usage_events AS event WHERE event.pattern_id = template.id),
            template.last_used_at)
    FROM pattern_template_usage AS usage
    WHERE template.id = ANY (patterns)
        AND usage.pattern_id = template.id;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pattern_usage_events_update_stats() IS
    'Add what a statement changed in the events to the counters of their templates, and show them there.';

CREATE OR REPLACE FUNCTION pattern_usage_events_set_improvement() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
    NEW.quality_improvement := NEW.quality_after - NEW.quality_before;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION pattern_learning_touch() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$function$;

DO $pin$
DECLARE
    pinned regprocedure;
BEGIN
    FOR pinned IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
            AND proname IN ('pattern_usage_recount', 'update_pattern_stats', 'compute_pattern_analytics',
                'pattern_usage_events_update_stats')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', pinned, current_schema());
    END LOOP;
END
$pin$;
REVOKE EXECUTE ON FUNCTION pattern_usage_events_update_stats() FROM PUBLIC;
-- Planning for the arrays of one call takes longer than running the statement.
ALTER FUNCTION pattern_usage_events_update_stats() SET plan_cache_mode = force_generic_plan;

-- Triggers fire in the order of their names: these come after the ones a user may already have.
CREATE OR REPLACE TRIGGER zz_pattern_usage_events_set_improvement
    BEFORE INSERT OR UPDATE ON pattern_usage_events
    FOR EACH ROW EXECUTE FUNCTION pattern_usage_events_set_improvement();
CREATE OR REPLACE TRIGGER zz_pattern_templates_touch
    BEFORE UPDATE ON pattern_templates
    FOR EACH ROW EXECUTE FUNCTION pattern_learning_touch();
CREATE OR REPLACE TRIGGER zz_pattern_relationships_touch
    BEFORE UPDATE ON pattern_relationships
    FOR EACH ROW EXECUTE FUNCTION pattern_learning_touch();

UPDATE pattern_usage_events
SET quality_improvement = quality_after - quality_before
WHERE quality_after IS NOT NULL
    AND quality_before IS NOT NULL
    AND quality_improvement IS DISTINCT FROM quality_after - quality_before;

CREATE OR REPLACE TRIGGER zz_pattern_usage_events_update_stats
    AFTER INSERT ON pattern_usage_events
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION pattern_usage_events_update_stats();
CREATE OR REPLACE TRIGGER zz_pattern_usage_events_update_stats_of_changed
    AFTER UPDATE ON pattern_usage_events
    REFERENCING OLD TABLE AS removed NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION pattern_usage_events_update_stats();
CREATE OR REPLACE TRIGGER zz_pattern_usage_events_update_stats_of_deleted
    AFTER DELETE ON pattern_usage_events
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION pattern_usage_events_update_stats();
CREATE OR REPLACE TRIGGER zz_pattern_usage_events_update_stats_of_truncated
    AFTER TRUNCATE ON pattern_usage_events
    FOR EACH STATEMENT EXECUTE FUNCTION pattern_usage_events_update_stats();

-- The triggers' lock keeps writers of events out until this has committed.
INSERT INTO pattern_template_usage (pattern_id, events, known, successes)
SELECT pattern_id, count(*), count(success), count(*) FILTER (WHERE success)
FROM pattern_usage_events
GROUP BY pattern_id
ON CONFLICT (pattern_id) DO UPDATE SET
    events = excluded.events,
    known = excluded.known,
    successes = excluded.successes;

CREATE VIEW v_top_patterns AS
SELECT
    template.id,
    template.pattern_name,
    template.pattern_type,
    template.language,
    template.usage_count,
    template.success_rate,
    template.confidence_score,
    usage.avg_quality_improvement,
    usage.recent_usage_count,
    template.last_used_at
FROM pattern_templates AS template
CROSS JOIN LATERAL (
    SELECT avg(event.quality_improvement) AS avg_quality_improvement,
           count(*) FILTER (WHERE event.used_at >= now() - interval '30 days') AS recent_usage_count
    FROM pattern_usage_events AS event
    WHERE event.pattern_id = template.id
) AS usage
WHERE NOT coalesce(template.is_deprecated, false)
ORDER BY template.usage_count DESC, template.success_rate DESC, template.id;
COMMENT ON VIEW v_top_patterns IS
    'Templates that are not deprecated, most used first; recent_usage_count covers the last 30 days, the mean improvement all events.';

CREATE VIEW v_pattern_quality_trends AS
SELECT
    template.id,
    template.pattern_name,
    template.pattern_type,
    (event.used_at AT TIME ZONE 'UTC')::date AS usage_date,
    count(*) AS usage_count,
    avg(event.quality_improvement) AS avg_quality_improvement,
    avg(event.success::int)::double precision AS success_rate
FROM pattern_templates AS template
JOIN pattern_usage_events AS event ON event.pattern_id = template.id
GROUP BY template.id, template.pattern_name, template.pattern_type, (event.used_at AT TIME ZONE 'UTC')::date;
COMMENT ON VIEW v_pattern_quality_trends IS 'Use and quality of each template per day (UTC).';
