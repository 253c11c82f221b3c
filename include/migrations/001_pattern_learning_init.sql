-- 001 (in parts): the lineage, quality and pattern learning tables, their views, functions and triggers.
--
-- Adopts what is there, and keeps nobody waiting. A table that exists keeps its rows, its further columns, indexes,
-- triggers and comments, and the types of its columns: text of any length, numbers and integers of any width, json and
-- varchar[] stay as they are. It gets the columns, keys and checks it lacks, and a default where a column has none.
-- Keys and checks of tables with rows are built without a lock that others wait for.
--
-- What cannot be adopted is refused before anything is changed, with the statement to run: a column of another kind (a
-- timestamp without time zone, an id kept as text), rows that break a key or a check, a foreign key that leads elsewhere.
--
-- pattern_relationships may belong to somebody else: a table of that name that has no strength, or keys that lead to
-- other tables than pattern_templates. It is not touched then, and relationships of templates are kept in the table
-- pattern_template_relationships. Everywhere else that name is a view of pattern_relationships, so that code has one name
-- for both.
--
-- Replaced: a foreign key between the tables below that has another rule for deletions. Renamed to ..._of_before until a
-- rollback: a plain view v_top_patterns or v_pattern_quality_trends that lacks documented columns and that nothing depends
-- on; a function update_pattern_stats(uuid) or compute_pattern_analytics(timestamptz, timestamptz, uuid) of other
-- parameters or result. Other views, materialized views, and functions of these names with other arguments stay.
--
-- Two repairs of derived data in adopted tables: pattern_analytics keeps only the newest row of a period, and
-- quality_improvement is recomputed where it disagrees with quality_after - quality_before.
-- pattern_quality_metrics gets its foreign key only when it is created here: in an existing table either it is
-- there already or scores without lineage rule it out, and migration 013 removes it anyway.
-- A partitioned table keeps its own keys. Its ids have to be unique over all partitions all the same.
--
-- Triggers keep usage_count, success_rate and last_used_at of a template right when its events are inserted, changed,
-- deleted or truncated. They add to counters in pattern_template_usage, so an event costs the same however many there
-- were before. The counters are filled from the events that exist. The templates are not changed by that: one whose
-- numbers never agreed with its events keeps them until its next event. Events written with triggers switched off are
-- counted when update_pattern_stats is called for their template.
--
-- Tables created here say so in their comment; the rollback drops those of them that are empty, and nothing else.

-- part (each row a statement): tables, columns, keys and indexes
WITH wanted_tables (position, documented_name, description) AS (VALUES
    (1, 'pattern_lineage_nodes', 'The source of truth for patterns: one row per pattern version.'),
    (2, 'pattern_quality_metrics', 'The current quality score of each pattern.'),
    (3, 'pattern_templates', 'Patterns worth reusing, with what is known about how well they work.'),
    (4, 'pattern_usage_events', 'One row per use of a template; inserting one updates the template.'),
    (5, 'pattern_relationships', 'How templates relate to one another.'),
    (6, 'pattern_analytics', 'Usage of a period, per template or over all of them.')

), wanted_columns (documented_table, name, type, default_value, required, description) AS (VALUES
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

), wanted_keys (position, documented_table, documented_name, kind, definition) AS (VALUES
    -- Definitions as pg_get_constraintdef prints them, without the casts of numbers. An equal one under another name is accepted.
    (1, 'pattern_lineage_nodes', 'pattern_lineage_nodes_pkey', 'p', 'PRIMARY KEY (id)'),
    (2, 'pattern_quality_metrics', 'pattern_quality_metrics_pkey', 'p', 'PRIMARY KEY (id)'),
    (3, 'pattern_templates', 'pattern_templates_pkey', 'p', 'PRIMARY KEY (id)'),
    (4, 'pattern_usage_events', 'pattern_usage_events_pkey', 'p', 'PRIMARY KEY (id)'),
    (5, 'pattern_relationships', 'pattern_relationships_pkey', 'p', 'PRIMARY KEY (id)'),
    (6, 'pattern_analytics', 'pattern_analytics_pkey', 'p', 'PRIMARY KEY (id)'),
    (7, 'pattern_lineage_nodes', 'pattern_lineage_nodes_pattern_id_pattern_version_key', 'u',
        'UNIQUE (pattern_id, pattern_version)'),
    (8, 'pattern_templates', 'pattern_templates_name_type_language_unique', 'u',
        'UNIQUE NULLS NOT DISTINCT (pattern_name, pattern_type, language)'),
    (9, 'pattern_templates', 'pattern_templates_confidence_score_check', 'c',
        'CHECK (((confidence_score >= 0) AND (confidence_score <= 1)))'),
    (10, 'pattern_templates', 'pattern_templates_success_rate_check', 'c',
        'CHECK (((success_rate >= 0) AND (success_rate <= 1)))'),
    (11, 'pattern_templates', 'pattern_templates_parent_pattern_id_fkey', 'f',
        'FOREIGN KEY (parent_pattern_id) REFERENCES pattern_templates(id) ON DELETE SET NULL'),
    (12, 'pattern_templates', 'pattern_templates_deprecated_by_id_fkey', 'f',
        'FOREIGN KEY (deprecated_by_id) REFERENCES pattern_templates(id) ON DELETE SET NULL'),
    (13, 'pattern_usage_events', 'pattern_usage_events_pattern_id_fkey', 'f',
        'FOREIGN KEY (pattern_id) REFERENCES pattern_templates(id) ON DELETE CASCADE'),
    (14, 'pattern_relationships', 'pattern_relationships_source_target_type_unique', 'u',
        'UNIQUE (source_pattern_id, target_pattern_id, relationship_type)'),
    (15, 'pattern_relationships', 'pattern_relationships_strength_check', 'c',
        'CHECK (((strength >= 0) AND (strength <= 1)))'),
    (16, 'pattern_relationships', 'pattern_relationships_not_to_itself_check', 'c',
        'CHECK ((source_pattern_id <> target_pattern_id))'),
    (17, 'pattern_relationships', 'pattern_relationships_source_pattern_id_fkey', 'f',
        'FOREIGN KEY (source_pattern_id) REFERENCES pattern_templates(id) ON DELETE CASCADE'),
    (18, 'pattern_relationships', 'pattern_relationships_target_pattern_id_fkey', 'f',
        'FOREIGN KEY (target_pattern_id) REFERENCES pattern_templates(id) ON DELETE CASCADE'),
    (19, 'pattern_analytics', 'pattern_analytics_period_pattern_unique', 'u',
        'UNIQUE NULLS NOT DISTINCT (period_start, period_end, pattern_id)'),
    (20, 'pattern_analytics', 'pattern_analytics_pattern_id_fkey', 'f',
        'FOREIGN KEY (pattern_id) REFERENCES pattern_templates(id) ON DELETE CASCADE'),
    (21, 'pattern_quality_metrics', 'pattern_quality_metrics_pattern_id_fkey', 'f',
        'FOREIGN KEY (pattern_id) REFERENCES pattern_lineage_nodes(id) ON DELETE CASCADE')

), wanted_indexes (documented_table, documented_name, definition) AS (VALUES
    -- Adopted tables may hold NULL in is_deprecated, usage_count and success_rate.
    ('pattern_templates', 'pattern_templates_top_idx',
        '(usage_count DESC NULLS LAST, success_rate DESC NULLS LAST, id) WHERE is_deprecated IS NOT TRUE'),
    -- The order of filtered lists: without it, a condition that most templates meet sorts most of the table.
    ('pattern_templates', 'pattern_templates_confidence_idx',
        '(confidence_score DESC NULLS LAST, usage_count DESC NULLS LAST, pattern_name, id) WHERE is_deprecated IS NOT TRUE'),
    ('pattern_templates', 'pattern_templates_type_idx', '(pattern_type, language)'),
    ('pattern_templates', 'pattern_templates_tags_idx', 'USING gin (tags)'),
    ('pattern_templates', 'pattern_templates_parent_idx', '(parent_pattern_id) WHERE parent_pattern_id IS NOT NULL'),
    ('pattern_templates', 'pattern_templates_deprecated_by_idx', '(deprecated_by_id) WHERE deprecated_by_id IS NOT NULL'),
    ('pattern_usage_events', 'pattern_usage_events_pattern_idx', '(pattern_id, used_at) INCLUDE (success)'),
    ('pattern_usage_events', 'pattern_usage_events_used_at_idx', '(used_at)'),
    ('pattern_relationships', 'pattern_relationships_target_idx', '(target_pattern_id)'),
    ('pattern_analytics', 'pattern_analytics_pattern_idx', '(pattern_id)')

), wanted_views (name, column_names) AS (VALUES
    ('v_top_patterns', '{id,pattern_name,pattern_type,language,usage_count,success_rate,confidence_score,'
        'avg_quality_improvement,recent_usage_count,last_used_at}'::name[]),
    ('v_pattern_quality_trends', '{id,pattern_name,pattern_type,usage_date,usage_count,avg_quality_improvement,success_rate}')

), wanted_functions (name, argument_types, argument_names, result) AS (VALUES
    ('update_pattern_stats', '{uuid}'::regtype[], '{pattern_id}'::text[], 'void'::regtype),
    ('compute_pattern_analytics', '{timestamptz,timestamptz,uuid}', '{period_start,period_end,pattern_id}', 'uuid')

), relationships AS (
    -- Decided once: when the table of its own exists, it stays the one.
    SELECT EXISTS (
        SELECT FROM pg_class WHERE oid = to_regclass('pattern_template_relationships') AND relkind IN ('r', 'p')
    ) OR to_regclass('pattern_relationships') IS NOT NULL AND (
        NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = to_regclass('pattern_relationships') AND attname = 'strength' AND NOT attisdropped
        )
        OR EXISTS (
            SELECT FROM pg_class WHERE oid = to_regclass('pattern_relationships') AND relkind NOT IN ('r', 'p')
        )
        OR EXISTS (
            SELECT FROM pg_constraint
            WHERE
                contype = 'f'
                AND conrelid = to_regclass('pattern_relationships')
                AND confrelid IS DISTINCT FROM to_regclass('pattern_templates')
        )
    ) AS are_apart

), tables AS (
    -- Every table under the name that it has here. Empty is only what has no page at all.
    SELECT
        wanted.position,
        wanted.documented_name,
        named.name,
        wanted.description,
        class.oid,
        class.relkind,
        class.relnamespace,
        class.relpersistence,
        class.relispartition,
        class.oid IS NULL AS is_new,
        class.relkind = 'p' AS is_partitioned,
        class.relkind IS NOT DISTINCT FROM 'p' OR coalesce(pg_relation_size(class.oid), 0) > 0 AS is_filled
    FROM wanted_tables AS wanted
    CROSS JOIN relationships
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN wanted.documented_name = 'pattern_relationships' AND relationships.are_apart
                THEN 'pattern_template_relationships'
            ELSE wanted.documented_name
        END AS name
    ) AS named
    LEFT JOIN pg_class AS class ON class.oid = to_regclass(named.name)

), columns AS (
    SELECT
        tables.position,
        row_number() OVER () AS ordinal,
        tables.name AS table_name,
        tables.oid,
        tables.is_new,
        tables.is_filled,
        wanted.name,
        wanted.type,
        wanted.default_value,
        wanted.required,
        wanted.description,
        present.attnum IS NULL AS is_missing,
        present.attnum,
        format_type(present.atttypid, present.atttypmod) AS present_type,
        coalesce(present.attnotnull, false) AS is_required,
        present.atthasdef OR present.attidentity <> '' AS has_default,
        col_description(present.attrelid, present.attnum) AS present_description
    FROM wanted_columns AS wanted
    JOIN tables ON tables.documented_name = wanted.documented_table
    LEFT JOIN pg_attribute AS present
        ON present.attrelid = tables.oid AND present.attname = wanted.name AND NOT present.attisdropped

), kinds AS (
    SELECT
        columns.*,
        kind_of.present AS present_kind,
        kind_of.wanted AS wanted_kind,
        is_missing OR is_new
        OR kind_of.present = kind_of.wanted
        OR (kind_of.wanted = 'number' AND kind_of.present = 'integer')
        -- The triggers of the sync compare these two, and json has no equality.
        OR (kind_of.wanted = 'jsonb' AND kind_of.present = 'json' AND table_name <> 'pattern_lineage_nodes') AS fits
    FROM columns
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN type ~ '^(text|character varying.*[^]])$' OR type = 'character varying' THEN 'text'
                WHEN type ~ '^(double precision|real|numeric.*[^]]|numeric)$' THEN 'number'
                WHEN type IN ('smallint', 'integer', 'bigint') THEN 'integer'
                WHEN type ~ '^(text|character varying.*)\[\]$' THEN 'text[]'
                ELSE type
            END AS wanted,
            CASE
                WHEN present_type ~ '^(text|character varying.*[^]]|character.*[^]])$' OR present_type = 'character varying' THEN 'text'
                WHEN present_type ~ '^(double precision|real|numeric.*[^]]|numeric)$' THEN 'number'
                WHEN present_type IN ('smallint', 'integer', 'bigint') THEN 'integer'
                WHEN present_type ~ '^(text|character varying.*)\[\]$' THEN 'text[]'
                WHEN present_type ~ '^timestamp\(\d\) with time zone$' THEN 'timestamp with time zone'
                ELSE present_type
            END AS present
    ) AS kind_of

), dependants AS (
    -- What PostgreSQL knows to depend on a column; the text of functions is not among it.
    SELECT
        kinds.table_name,
        kinds.name,
        string_agg(DISTINCT CASE
            WHEN found.classid = 'pg_rewrite'::regclass
                THEN CASE viewing.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'a rule on table ' END
                    || viewing.oid::regclass
            ELSE pg_describe_object(found.classid, found.objid, found.objsubid)
        END, ', ') AS names
    FROM kinds
    JOIN pg_depend AS found
        ON found.refclassid = 'pg_class'::regclass AND found.refobjid = kinds.oid AND found.refobjsubid = kinds.attnum
    LEFT JOIN pg_rewrite AS rule ON found.classid = 'pg_rewrite'::regclass AND rule.oid = found.objid
    LEFT JOIN pg_class AS viewing ON viewing.oid = rule.ev_class
    LEFT JOIN pg_constraint AS own_constraint
        ON found.classid = 'pg_constraint'::regclass AND own_constraint.oid = found.objid AND own_constraint.conrelid = kinds.oid
    WHERE NOT kinds.fits
        -- Keys, checks and indexes of the table itself follow a conversion.
        AND own_constraint.oid IS NULL
        AND NOT (found.classid = 'pg_class'::regclass AND found.deptype = 'a')
        AND NOT (found.classid = 'pg_attrdef'::regclass AND EXISTS (
            SELECT FROM pg_attrdef AS own WHERE own.oid = found.objid AND own.adrelid = kinds.oid AND own.adnum = kinds.attnum
        ))
    GROUP BY kinds.table_name, kinds.name

), keys AS (
    SELECT
        wanted.position,
        tables.name AS table_name,
        tables.oid,
        tables.is_new,
        tables.is_filled,
        wanted.kind,
        wanted.definition,
        column_list.names AS column_list,
        referred.name AS referred_name,
        referred.oid AS referred_oid,
        (
            tables.is_partitioned AND wanted.kind IN ('p', 'u')
            OR wanted.kind = 'f' AND coalesce(referred.is_partitioned, false)
        ) IS TRUE AS is_impossible,
        naming.name AS name,
        naming.of_index,
        -- Keys are named like relations, and a table that was renamed keeps the name of its key; checks by their table.
        CASE
            WHEN own_index.indexrelid IS NOT NULL THEN own_index.name
            WHEN wanted.kind IN ('p', 'u') AND taken.oid IS NOT NULL THEN naming.other
            WHEN wanted.kind = 'c' AND EXISTS (
                SELECT FROM pg_constraint WHERE conrelid = tables.oid AND conname = naming.name
            ) THEN naming.other
            ELSE naming.name
        END AS free_name,
        own_index.indexrelid IS NOT NULL AS has_index,
        coalesce(own_index.indisvalid, false) AS has_valid_index,
        present.conname AS present_name,
        present.convalidated AS is_validated,
        other.conname AS other_name,
        other.confrelid AS other_referred
    FROM wanted_keys AS wanted
    JOIN tables ON tables.documented_name = wanted.documented_table
    CROSS JOIN LATERAL (
        SELECT
            replace(wanted.documented_name, wanted.documented_table, tables.name) AS name,
            left(replace(wanted.documented_name, wanted.documented_table, tables.name), 50) || '_' || tables.oid AS other,
            regexp_replace(wanted.definition, '^(PRIMARY KEY|UNIQUE)( NULLS NOT DISTINCT)? (\(.*\))$', '\3\2') AS of_index
    ) AS naming
    CROSS JOIN LATERAL (SELECT substring(wanted.definition FROM '\(([^()]*)\)') AS names) AS column_list
    LEFT JOIN tables AS referred ON referred.documented_name = substring(wanted.definition FROM 'REFERENCES (\w+)')
    LEFT JOIN pg_class AS taken
        ON taken.relname = naming.name AND taken.relnamespace = quote_ident(current_schema())::regnamespace
    -- What an interrupted run has left, or a user has made: an index of the columns that is no constraint yet.
    LEFT JOIN LATERAL (
        SELECT indexrelid, indisvalid, class.relname AS name
        FROM pg_index
        JOIN pg_class AS class ON class.oid = indexrelid
        WHERE
            indrelid = tables.oid
            AND indisunique
            AND class.relname IN (naming.name, naming.other)
            AND substring(pg_get_indexdef(indexrelid, 0, true) FROM ' USING btree (.*)$') = naming.of_index
            AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
        ORDER BY indisvalid DESC
        LIMIT 1
    ) AS own_index ON true
    LEFT JOIN LATERAL (
        SELECT conname, convalidated
        FROM pg_constraint
        WHERE
            conrelid = tables.oid
            AND wanted.definition = regexp_replace(
                regexp_replace(
                    pg_get_constraintdef(oid), '::(double precision|numeric|real)|(?<=\d)\.0+(?!\d)| NOT VALID$', '', 'g'),
                '\((\d+)\)', '\1', 'g')
        ORDER BY convalidated DESC
        LIMIT 1
    ) AS present ON true
    -- A foreign key of the same column with other rules: pg_get_constraintdef opens with the column.
    LEFT JOIN LATERAL (
        SELECT conname, confrelid
        FROM pg_constraint
        WHERE
            wanted.kind = 'f'
            AND contype = 'f'
            AND conrelid = tables.oid
            AND starts_with(pg_get_constraintdef(oid), 'FOREIGN KEY (' || column_list.names || ')')
            AND conname IS DISTINCT FROM present.conname
        ORDER BY confrelid IS DISTINCT FROM referred.oid DESC
        LIMIT 1
    ) AS other ON true
    WHERE wanted.documented_name <> 'pattern_quality_metrics_pattern_id_fkey' OR tables.is_new

), missing_keys AS (
    SELECT *
    FROM keys
    WHERE NOT is_impossible AND (present_name IS NULL OR NOT is_validated OR (other_name IS NOT NULL AND other_referred = referred_oid))

), indexes AS (
    SELECT
        tables.name AS table_name,
        replace(wanted.documented_name, wanted.documented_table, tables.name) AS name,
        wanted.definition,
        tables.is_filled AND NOT tables.is_partitioned AS is_concurrent
    FROM wanted_indexes AS wanted
    JOIN tables ON tables.documented_name = wanted.documented_table

), missing_indexes AS (
    SELECT indexes.*, class.oid IS NOT NULL AS is_broken
    FROM indexes
    LEFT JOIN pg_class AS class ON class.oid = to_regclass(indexes.name)
    LEFT JOIN pg_index AS present ON present.indexrelid = class.oid
    WHERE class.oid IS NULL OR NOT present.indisvalid

), views AS (
    SELECT
        wanted.name,
        class.oid,
        class.relkind,
        obj_description(class.oid, 'pg_class') LIKE '%Created by migration 001.' AS is_ours,
        ARRAY(
            SELECT unnest(wanted.column_names)
            EXCEPT
            SELECT attname FROM pg_attribute WHERE attrelid = class.oid AND attnum > 0 AND NOT attisdropped
        ) AS lacks,
        (
            SELECT string_agg(DISTINCT rule.ev_class::regclass::text, ', ')
            FROM pg_depend AS found
            JOIN pg_rewrite AS rule ON found.classid = 'pg_rewrite'::regclass AND rule.oid = found.objid
            WHERE found.refclassid = 'pg_class'::regclass AND found.refobjid = class.oid AND rule.ev_class <> class.oid
        ) AS read_by
    FROM wanted_views AS wanted
    JOIN pg_class AS class ON class.oid = to_regclass(wanted.name)

), functions AS (
    SELECT
        routine.oid,
        wanted.name,
        (
            SELECT string_agg(DISTINCT CASE
                WHEN found.classid = 'pg_rewrite'::regclass
                    THEN 'view ' || (SELECT ev_class::regclass::text FROM pg_rewrite WHERE oid = found.objid)
                ELSE pg_describe_object(found.classid, found.objid, found.objsubid)
            END, ', ')
            FROM pg_depend AS found
            WHERE found.refclassid = 'pg_proc'::regclass AND found.refobjid = routine.oid AND found.deptype = 'n'
        ) AS used_by
    FROM wanted_functions AS wanted
    JOIN pg_proc AS routine
        ON routine.proname = wanted.name AND routine.pronamespace = quote_ident(current_schema())::regnamespace
    WHERE
        ARRAY(SELECT type::regtype FROM unnest(routine.proargtypes) AS type) = wanted.argument_types
        AND (
            routine.proargnames IS DISTINCT FROM wanted.argument_names
            OR routine.prorettype <> wanted.result
            OR routine.proretset
        )

), findings (position, detail, word, text) AS (
    SELECT 0, 0, 'note', 'pattern_relationships is not the table of this project: it stays as it is, and relationships of '
        'templates are kept in pattern_template_relationships.'
    FROM relationships
    WHERE are_apart
    UNION ALL
    SELECT 0, position, 'refuse', format('Table %s exists in schema %s, but new tables would be created in schema %s. Put the '
        'schema of the existing tables first on the search_path of the login, for example with the connection''s extra '
        '{"options": "-c search_path=%s"}.',
        name, relnamespace::regnamespace, quote_ident(current_schema()), relnamespace::regnamespace)
    FROM tables
    WHERE relnamespace::regnamespace::text <> quote_ident(current_schema())
    UNION ALL
    SELECT 0, position, 'refuse', format('%s exists but is not a table. Rename or drop it.', name)
    FROM tables
    WHERE relkind NOT IN ('r', 'p')
    UNION ALL
    SELECT 0, position, 'refuse', format('Table %s is a partition of %s, which alone can get columns. Detach it first: ALTER '
        'TABLE %s DETACH PARTITION %I;', name, inhparent::regclass, inhparent::regclass, name)
    FROM tables
    JOIN pg_inherits ON inhrelid = oid
    WHERE relispartition
    UNION ALL
    SELECT 0, position, 'refuse', format('Table %s is unlogged, and tables that are not have keys to it. Make it a logged one: '
        'ALTER TABLE %I SET LOGGED;', name, name)
    FROM tables
    WHERE relpersistence = 'u' AND name IN ('pattern_lineage_nodes', 'pattern_templates')
    UNION ALL
    SELECT 1, position, 'note', format('Table %s exists and is adopted; its rows stay as they are.', name)
    FROM tables
    WHERE relkind IN ('r', 'p')
    UNION ALL
    SELECT 1, ordinal, 'refuse', format('Column %s.%s has type %s where %s is needed.%s Convert it first, %s: '
        'ALTER TABLE %I ALTER COLUMN %I TYPE %s USING %s;',
        kinds.table_name, kinds.name, present_type, type,
        coalesce(' Whatever depends on it has to be dropped before and made again after that: ' || dependants.names || '.', ''),
        CASE
            WHEN present_type ~ '^timestamp(\(\d\))? without' THEN 'naming the time zone its values were written in'
            ELSE 'after looking at its values'
        END,
        kinds.table_name, kinds.name, type,
        CASE
            WHEN present_type ~ '^timestamp(\(\d\))? without' THEN format('%I AT TIME ZONE ''UTC''', kinds.name)
            ELSE format('%I::%s', kinds.name, type)
        END)
    FROM kinds
    LEFT JOIN dependants ON dependants.table_name = kinds.table_name AND dependants.name = kinds.name
    WHERE NOT fits
    UNION ALL
    SELECT 1, min(ordinal), 'note', format('Columns of %s keep their types: %s.', table_name,
        string_agg(name || ' ' || present_type, ', ' ORDER BY ordinal))
    FROM kinds
    WHERE fits AND NOT is_missing AND present_type <> type
    GROUP BY table_name
    UNION ALL
    SELECT 1, ordinal, 'refuse', format('Table %s has rows and no column %s, which may not be empty. Add it with its values: '
        'ALTER TABLE %I ADD COLUMN %I %s;', table_name, name, table_name, name, type)
    FROM columns
    WHERE NOT is_new AND is_filled AND is_missing AND required
    UNION ALL
    SELECT 1, ordinal, 'check', format('SELECT format(''%%s rows of %s have no %s. Complete or delete them. They are: SELECT * '
        'FROM %s WHERE %s IS NULL;'', count(*)) FROM %I WHERE %I IS NULL HAVING count(*) > 0',
        table_name, name, table_name, name, table_name, name)
    FROM columns
    WHERE NOT is_new AND is_filled AND NOT is_missing AND required AND NOT is_required
    UNION ALL
    SELECT 2, position, 'note', format('Key %s of %s is left out, because a partitioned table cannot have it.', name, table_name)
    FROM keys
    WHERE is_impossible AND present_name IS NULL
    UNION ALL
    SELECT 2, position, 'refuse', format('Foreign key %s leads from %s.%s to %s, where %s is needed. It stays as it is: give '
        'this table, or that of the key, another name.',
        other_name, table_name, column_list, other_referred::regclass, referred_name)
    FROM keys
    WHERE other_name IS NOT NULL AND other_referred IS DISTINCT FROM referred_oid AND NOT is_impossible
    UNION ALL
    SELECT 2, position, 'refuse', format('The primary key %s of %s is not its id: %s. Make a unique key of it: ALTER TABLE %I '
        'DROP CONSTRAINT %I, ADD %s, ADD PRIMARY KEY (id); Foreign keys that lead to it have to be dropped before and made '
        'again after that.',
        conname, table_name, pg_get_constraintdef(pg_constraint.oid), table_name, conname,
        replace(pg_get_constraintdef(pg_constraint.oid), 'PRIMARY KEY', 'UNIQUE'))
    FROM missing_keys
    JOIN pg_constraint ON conrelid = missing_keys.oid AND contype = 'p'
    WHERE kind = 'p' AND present_name IS NULL
    UNION ALL
    SELECT 2, position, 'note', format('Foreign key %s of %s gets another rule: %s.', other_name, table_name, definition)
    FROM missing_keys
    WHERE other_name IS NOT NULL
    UNION ALL
    SELECT 2, position, 'check', CASE kind
        WHEN 'c' THEN format('SELECT format(''%%s rows of %s break the rule %s. Correct them. They are: SELECT * FROM %s '
            'WHERE NOT (%s);'', count(*)) FROM %I WHERE NOT (%s) HAVING count(*) > 0',
            table_name, definition, table_name, rule, table_name, rule)
        WHEN 'f' THEN format('SELECT format(''%%s rows of %s have a %s that is not in %s. Correct or delete them. They are: '
            'SELECT * FROM %s AS child WHERE %s IS NOT NULL AND NOT EXISTS (SELECT FROM %s WHERE id = child.%s);'', count(*)) '
            'FROM %I AS child WHERE %I IS NOT NULL AND NOT EXISTS (SELECT FROM %I WHERE id = child.%I) HAVING count(*) > 0',
            table_name, column_list, referred_name, table_name, column_list, referred_name, column_list,
            table_name, column_list, referred_name, column_list)
        ELSE format('SELECT format(''%%s values of (%s) occur several times in %s: the first is (%%s). Make them unique. They '
            'are: SELECT %s, count(*) FROM %s GROUP BY %s HAVING count(*) > 1;'', count(*), min(found)) FROM (SELECT '
            'concat_ws('', '', %s) AS found FROM %I %s GROUP BY %s HAVING count(*) > 1) AS doubled HAVING count(*) > 0',
            column_list, table_name, column_list, table_name, column_list, column_list, table_name,
            CASE WHEN definition LIKE 'UNIQUE (%'
                THEN 'WHERE num_nulls(' || column_list || ') = 0' ELSE '' END,
            column_list)
        END
    FROM missing_keys
    CROSS JOIN LATERAL (SELECT substring(definition FROM '^CHECK \((.*)\)$') AS rule) AS checked
    WHERE
        is_filled AND present_name IS NULL
        -- Superseded rows are removed, see below.
        AND definition <> 'UNIQUE NULLS NOT DISTINCT (period_start, period_end, pattern_id)'
        AND (kind <> 'f' OR referred_oid IS NOT NULL)
        AND NOT EXISTS (
            SELECT FROM columns
            WHERE columns.table_name = missing_keys.table_name AND columns.is_missing
                AND columns.name = ANY (string_to_array(column_list, ', '))
        )
        AND (kind <> 'c' OR NOT EXISTS (
            SELECT FROM columns
            WHERE columns.table_name = missing_keys.table_name AND columns.is_missing
                AND position(columns.name IN definition) > 0
        ))
    UNION ALL
    -- The rows that refer to a superseded one would go with it, or forbid it to go.
    SELECT 2, 0, 'check', format($check$SELECT format('Rows of %s refer to rows of pattern_analytics that a newer one of the same '
        'period replaces, by the foreign key %s. Let them refer to the newest, or to none. They are: %%s', $refer$SELECT * FROM %s AS child WHERE EXISTS (SELECT FROM pattern_analytics AS stale JOIN pattern_analytics AS newer ON (newer.period_start, newer.period_end) = (stale.period_start, stale.period_end) AND newer.pattern_id IS NOT DISTINCT FROM stale.pattern_id AND (coalesce(newer.computed_at, '-infinity'), newer.id) > (coalesce(stale.computed_at, '-infinity'), stale.id) WHERE stale.id = child.%I);$refer$)
    WHERE EXISTS (
        SELECT
        FROM %s AS child
        JOIN pattern_analytics AS stale ON stale.id = child.%I
        JOIN pattern_analytics AS newer
            ON (newer.period_start, newer.period_end) = (stale.period_start, stale.period_end)
                AND newer.pattern_id IS NOT DISTINCT FROM stale.pattern_id
                AND (coalesce(newer.computed_at, '-infinity'), newer.id) > (coalesce(stale.computed_at, '-infinity'), stale.id)
    )$check$, conrelid::regclass, conname, conrelid::regclass, attname, conrelid::regclass, attname)
    FROM missing_keys
    JOIN pg_constraint ON contype = 'f' AND confrelid = missing_keys.oid AND cardinality(conkey) = 1
        AND confkey = ARRAY(SELECT attnum FROM pg_attribute WHERE attrelid = missing_keys.oid AND attname = 'id')
    JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
    WHERE
        table_name = 'pattern_analytics' AND kind = 'u' AND is_filled AND present_name IS NULL
        AND NOT EXISTS (
            SELECT FROM columns
            WHERE columns.table_name = 'pattern_analytics' AND columns.is_missing
                AND columns.name IN ('id', 'period_start', 'period_end', 'pattern_id', 'computed_at')
        )
    UNION ALL
    SELECT 2, 0, 'note', format('Rule %s on table %s: PostgreSQL takes no INSERT ... ON CONFLICT there, by which %s is '
        'written. Make a trigger of it.', rule.rulename, name,
        CASE name WHEN 'pattern_quality_metrics' THEN 'the quality backfill' ELSE 'the storage layer' END)
    FROM tables
    JOIN pg_rewrite AS rule ON rule.ev_class = tables.oid AND rule.ev_type IN ('2', '3')
    WHERE name <> 'pattern_lineage_nodes'
    UNION ALL
    SELECT 3, 0, 'note', format('%s %s stays as it is%s%s.',
        CASE relkind WHEN 'v' THEN 'View' WHEN 'm' THEN 'Materialized view' ELSE 'Relation' END, name,
        coalesce('; read by ' || read_by, ''),
        CASE WHEN lacks = '{}' THEN '' ELSE '; it has no ' || array_to_string(lacks, ', ') END)
    FROM views
    WHERE is_ours IS NOT TRUE AND (lacks = '{}' OR relkind <> 'v' OR read_by IS NOT NULL)
    UNION ALL
    SELECT 3, 0, 'note', format('View %s has no %s, and nothing depends on it: it becomes %s, and a rollback gives it its '
        'name again.', name, array_to_string(lacks, ', '), name || '_of_before')
    FROM views
    WHERE is_ours IS NOT TRUE AND lacks <> '{}' AND relkind = 'v' AND read_by IS NULL
    UNION ALL
    SELECT 3, 0, 'refuse', format('Function %s has other parameters or another result than the one that is needed under this '
        'name, and these depend on it: %s. Give it another name, under which they go on using it: '
        'ALTER FUNCTION %s RENAME TO %I;', oid::regprocedure, used_by, oid::regprocedure,
        name || '_of_before')
    FROM functions
    WHERE used_by IS NOT NULL
    UNION ALL
    SELECT 3, 0, 'note', format('Function %s becomes %s, and a rollback gives it its name again.', oid::regprocedure, name || '_of_before')
    FROM functions
    WHERE used_by IS NULL

), statements (position, detail, word, text) AS (
    SELECT 10, columns.position, 'short',
        format('CREATE TABLE %I (%s); COMMENT ON TABLE %I IS %L; ', table_name,
            string_agg(format('%I %s', columns.name, type) || coalesce(' DEFAULT ' || default_value, '')
                || CASE WHEN columns.name = 'id' THEN ' PRIMARY KEY' WHEN required THEN ' NOT NULL' ELSE '' END,
                ', ' ORDER BY ordinal),
            table_name, max(tables.description) || ' Created by migration 001.')
        || string_agg(format('COMMENT ON COLUMN %I.%I IS %L', table_name, columns.name, columns.description), '; ' ORDER BY ordinal)
    FROM columns
    JOIN tables ON tables.name = columns.table_name
    WHERE columns.is_new
    GROUP BY columns.position, table_name
    UNION ALL
    -- One statement for each table, so that it is locked once. No default here computes a value for each row, so that
    -- none of them rewrites the table.
    SELECT 11, position, 'short', format('ALTER TABLE %I %s', table_name, string_agg(change, ', ' ORDER BY ordinal))
    FROM columns
    CROSS JOIN LATERAL (
        SELECT format('ADD COLUMN %I %s', name, type) || coalesce(' DEFAULT ' || default_value, '')
            || CASE WHEN required AND NOT is_filled THEN ' NOT NULL' ELSE '' END AS change
        WHERE is_missing
        UNION ALL
        SELECT format('ALTER COLUMN %I SET DEFAULT %s', name, default_value)
        WHERE NOT is_missing AND default_value IS NOT NULL AND NOT has_default
        UNION ALL
        SELECT format('ALTER COLUMN %I SET NOT NULL', name)
        WHERE NOT is_missing AND required AND NOT is_required AND NOT is_filled
    ) AS changes
    WHERE NOT is_new
    GROUP BY position, table_name
    UNION ALL
    SELECT 12, position, 'short', string_agg(text, '; ' ORDER BY ordinal)
    FROM (
        SELECT position, ordinal, format('COMMENT ON COLUMN %I.%I IS %L', table_name, name, description) AS text
        FROM columns
        WHERE NOT is_new AND present_description IS NULL
        UNION ALL
        SELECT position, 0, format('COMMENT ON TABLE %I IS %L', name, description)
        FROM tables
        WHERE NOT is_new AND obj_description(oid, 'pg_class') IS NULL
    ) AS comments
    GROUP BY position
    UNION ALL
    -- NOT NULL without a scan under a lock: a check that is validated proves it.
    SELECT 13, ordinal * 3 + step, word, text
    FROM columns
    CROSS JOIN LATERAL (SELECT left(table_name || '_' || name, 54) || '_required' AS proof) AS named
    CROSS JOIN LATERAL (VALUES
        (0, 'short', CASE WHEN EXISTS (SELECT FROM pg_constraint WHERE conrelid = oid AND conname = proof)
            THEN 'SELECT' ELSE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (%I IS NOT NULL) NOT VALID', table_name, proof, name) END),
        (1, 'long', format('ALTER TABLE %I VALIDATE CONSTRAINT %I', table_name, proof)),
        -- Not in one statement: that would drop the proof first, and look through the table after all.
        (2, 'short', format('ALTER TABLE %I ALTER COLUMN %I SET NOT NULL; ALTER TABLE %I DROP CONSTRAINT %I',
            table_name, name, table_name, proof))
    ) AS steps (step, word, text)
    WHERE NOT is_new AND is_filled AND NOT is_missing AND required AND NOT is_required
    UNION ALL
    SELECT 14, 0, 'short', $delete$DELETE FROM pattern_analytics AS stale
USING (
    SELECT id, row_number() OVER (
        PARTITION BY period_start, period_end, pattern_id ORDER BY computed_at DESC NULLS LAST, id DESC
    ) AS position
    FROM pattern_analytics
) AS ranked
WHERE ranked.id = stale.id AND ranked.position > 1$delete$
    FROM missing_keys
    WHERE table_name = 'pattern_analytics' AND kind = 'u' AND is_filled AND present_name IS NULL
    UNION ALL
    SELECT 20, position * 10 + step, word, text
    FROM missing_keys
    CROSS JOIN LATERAL (
        SELECT 1, 'long', format('DROP INDEX CONCURRENTLY %I', free_name)
        WHERE is_filled AND has_index AND NOT has_valid_index
        UNION ALL
        SELECT 2, 'long', format('CREATE UNIQUE INDEX CONCURRENTLY %I ON %I %s', free_name, table_name, of_index)
        WHERE is_filled AND NOT has_valid_index
        UNION ALL
        SELECT 3, 'short', format('ALTER TABLE %I ADD CONSTRAINT %I %s USING INDEX %I', table_name, free_name,
            CASE kind WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, free_name)
        WHERE is_filled OR has_valid_index
        UNION ALL
        SELECT 4, 'short', format('ALTER TABLE %I ADD CONSTRAINT %I %s', table_name, free_name, definition)
        WHERE NOT is_filled AND NOT has_valid_index
    ) AS steps (step, word, text)
    WHERE kind IN ('p', 'u') AND NOT (kind = 'p' AND is_new) AND present_name IS NULL
    UNION ALL
    SELECT 21, position * 10 + step, word, text
    FROM missing_keys
    CROSS JOIN LATERAL (
        SELECT 1, 'short', format('ALTER TABLE %I %sADD CONSTRAINT %I %s%s', table_name,
            -- In one statement, so that there is no moment without the key.
            coalesce('DROP CONSTRAINT ' || quote_ident(other_name) || ', ', ''),
            CASE WHEN other_name = name THEN name || '_new' ELSE free_name END, definition,
            CASE WHEN is_filled THEN ' NOT VALID' ELSE '' END)
        WHERE present_name IS NULL
        UNION ALL
        SELECT 1, 'short', format('ALTER TABLE %I DROP CONSTRAINT %I', table_name, other_name)
        WHERE present_name IS NOT NULL AND other_name IS NOT NULL
        UNION ALL
        SELECT 2, 'long', format('ALTER TABLE %I VALIDATE CONSTRAINT %I', table_name,
            coalesce(present_name, CASE WHEN other_name = name THEN name || '_new' ELSE free_name END))
        WHERE is_filled AND is_validated IS NOT TRUE
        UNION ALL
        SELECT 3, 'short', format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I', table_name, name || '_new', name)
        WHERE present_name IS NULL AND other_name = name
    ) AS steps (step, word, text)
    WHERE kind IN ('c', 'f')
    UNION ALL
    SELECT 30, CASE word WHEN 'drop' THEN 0 ELSE 1 END, 'long', text
    FROM missing_indexes
    CROSS JOIN LATERAL (
        SELECT 'drop', format('DROP INDEX CONCURRENTLY %I', name) WHERE is_broken
        UNION ALL
        SELECT 'create', format('CREATE INDEX CONCURRENTLY %I ON %I %s', name, table_name, definition) WHERE is_concurrent
    ) AS steps (word, text)
    UNION ALL
    SELECT 31, 0, 'short', format('CREATE INDEX %I ON %I %s', name, table_name, definition)
    FROM missing_indexes
    WHERE NOT is_concurrent
    UNION ALL
    SELECT 40, 0, 'short', $view$CREATE OR REPLACE VIEW pattern_template_relationships WITH (security_invoker = true) AS
SELECT
    id,
    source_pattern_id,
    target_pattern_id,
    relationship_type,
    strength,
    description,
    context,
    discovered_at,
    updated_at
FROM pattern_relationships;
-- Whoever reads or writes it needs the right to do so in the table.
GRANT SELECT, INSERT, UPDATE, DELETE ON pattern_template_relationships TO PUBLIC;
COMMENT ON VIEW pattern_template_relationships IS
    'The table pattern_relationships by the name that it has where others use that name. Created by migration 001.'$view$
    FROM relationships
    WHERE NOT are_apart
    UNION ALL
    SELECT 41, 0, 'short', format('ALTER VIEW %I RENAME TO %I', name, name || '_of_before')
    FROM views
    WHERE is_ours IS NOT TRUE AND lacks <> '{}' AND relkind = 'v' AND read_by IS NULL
    UNION ALL
    SELECT 42, 0, 'short', format('ALTER FUNCTION %s RENAME TO %I', oid::regprocedure, name || '_of_before')
    FROM functions
)

SELECT word, text
FROM (SELECT * FROM findings UNION ALL SELECT * FROM statements) AS found
ORDER BY position, detail, text;

-- part: the counters of usage events
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

-- part: functions
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

CREATE OR REPLACE FUNCTION update_pattern_stats(pattern_id uuid) RETURNS void
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

CREATE OR REPLACE FUNCTION pattern_usage_averageable(quality anyelement) RETURNS anyelement
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
    -- Tables may hold much larger values, infinite ones and NaN. The squares of their deviations would overflow.
    SELECT CASE WHEN $1 BETWEEN -2e100 AND 2e100 THEN $1 END
$function$;
COMMENT ON FUNCTION pattern_usage_averageable(anyelement) IS
    'A quality, or a difference of two, of which an average can be made; NULL for any other.';

CREATE OR REPLACE FUNCTION compute_pattern_analytics(
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
           avg(pattern_usage_averageable(event.quality_improvement))::double precision AS quality_improvement
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
               avg(pattern_usage_averageable(event.quality_improvement))::double precision AS avg_quality_improvement
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
            -- Not the functions of others that have one of these names.
            AND oid IN ('pattern_usage_recount(uuid)'::regprocedure, 'update_pattern_stats(uuid)'::regprocedure,
                'compute_pattern_analytics(timestamptz, timestamptz, uuid)'::regprocedure,
                'pattern_usage_events_update_stats()'::regprocedure)
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', pinned, current_schema());
    END LOOP;
END
$pin$;
REVOKE EXECUTE ON FUNCTION pattern_usage_events_update_stats() FROM PUBLIC;
-- Planning for the arrays of one call takes longer than running the statement.
ALTER FUNCTION pattern_usage_events_update_stats() SET plan_cache_mode = force_generic_plan;

-- part: the improvement of events
-- Triggers fire in the order of their names: these come after the ones a user may already have.
CREATE OR REPLACE TRIGGER zz_pattern_usage_events_set_improvement
    BEFORE INSERT OR UPDATE ON pattern_usage_events
    FOR EACH ROW EXECUTE FUNCTION pattern_usage_events_set_improvement();

-- part: the times of changed templates
CREATE OR REPLACE TRIGGER zz_pattern_templates_touch
    BEFORE UPDATE ON pattern_templates
    FOR EACH ROW EXECUTE FUNCTION pattern_learning_touch();

-- part (each row a statement): the times of changed relationships
SELECT
    'short' AS word,
    format('CREATE OR REPLACE TRIGGER zz_pattern_relationships_touch BEFORE UPDATE ON %I '
        'FOR EACH ROW EXECUTE FUNCTION pattern_learning_touch()', relname) AS text
FROM pg_class
WHERE
    oid IN (to_regclass('pattern_relationships'), to_regclass('pattern_template_relationships'))
    AND relkind IN ('r', 'p')
ORDER BY relname DESC
LIMIT 1;

-- part (long): the counters, filled from the events that exist
-- Before the triggers, so that what they add to is right but for the few events written meanwhile.
INSERT INTO pattern_template_usage (pattern_id, events, known, successes)
SELECT event.pattern_id, count(*), count(event.success), count(*) FILTER (WHERE event.success)
FROM pattern_usage_events AS event
JOIN pattern_templates AS template ON template.id = event.pattern_id
GROUP BY event.pattern_id
ON CONFLICT (pattern_id) DO NOTHING;

-- part: counting usage events
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

-- part (long): the counters, counted again where events were written meanwhile
DO $count$
DECLARE
    counted uuid;
    before pattern_template_usage;
    exact pattern_template_usage;
BEGIN
    -- What is derived from the events can be derived again: no commit waits for the disk.
    SET synchronous_commit = off;
    -- Both are seen as of one moment, and the triggers change both in one transaction: what differs was written before
    -- there were triggers.
    FOR counted IN
        SELECT coalesce(event.pattern_id, usage.pattern_id)
        FROM (
            SELECT
                pattern_id,
                count(*) AS events,
                count(success) AS known,
                count(*) FILTER (WHERE success) AS successes
            FROM pattern_usage_events
            GROUP BY pattern_id
        ) AS event
        FULL JOIN pattern_template_usage AS usage ON usage.pattern_id = event.pattern_id
        WHERE (event.events, event.known, event.successes) IS DISTINCT FROM (usage.events, usage.known, usage.successes)
    LOOP
        -- The lock of the triggers: whoever holds it has counted all events of the template that others can see.
        PERFORM FROM pattern_templates AS template WHERE template.id = counted FOR NO KEY UPDATE;
        SELECT * INTO before FROM pattern_template_usage AS usage WHERE usage.pattern_id = counted;
        SELECT * INTO exact FROM pattern_usage_recount(counted);
        IF before IS DISTINCT FROM exact THEN
            PERFORM update_pattern_stats(counted);
        END IF;
        COMMIT;
    END LOOP;
    RESET synchronous_commit;
END
$count$;

-- part (each row a statement): quality_improvement where it disagrees
-- By pages, each a transaction. A generated column is right.
SELECT
    'long' AS word,
    format($repair$DO $pages$
DECLARE
    last uuid := '00000000-0000-0000-0000-000000000000';
    page uuid[];
BEGIN
    LOOP
        page := ARRAY(SELECT id FROM pattern_usage_events WHERE id > last ORDER BY id LIMIT 2000);
        EXIT WHEN page = '{}';
        last := page[cardinality(page)];
        BEGIN
            UPDATE pattern_usage_events
            SET quality_improvement = quality_after - quality_before
            WHERE id = ANY (page)
                AND quality_after IS NOT NULL
                AND quality_before IS NOT NULL
                AND quality_improvement IS DISTINCT FROM (quality_after - quality_before)::%s;
        EXCEPTION WHEN raise_exception OR data_exception OR integrity_constraint_violation THEN
            -- A table that is only added to, a value that the column cannot hold: no reason not to adopt it.
            RAISE NOTICE 'quality_improvement stays as it is in events from %% on: %%', page[1], SQLERRM;
        END;
        COMMIT;
    END LOOP;
END
$pages$$repair$, format_type(atttypid, atttypmod)) AS text
FROM pg_attribute
WHERE
    attrelid = to_regclass('pattern_usage_events')
    AND attname = 'quality_improvement'
    AND NOT attisdropped
    AND attgenerated = ''
    AND pg_relation_size(attrelid) > 0;

-- part (each row a statement): the views
SELECT 'short' AS word, wanted.text
FROM (VALUES
    ('v_top_patterns', $view$CREATE OR REPLACE VIEW v_top_patterns AS
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
    SELECT avg(pattern_usage_averageable(event.quality_improvement))::double precision AS avg_quality_improvement,
           count(*) FILTER (WHERE event.used_at >= now() - interval '30 days') AS recent_usage_count
    FROM pattern_usage_events AS event
    WHERE event.pattern_id = template.id
) AS usage
WHERE NOT coalesce(template.is_deprecated, false)
ORDER BY template.usage_count DESC, template.success_rate DESC, template.id;
COMMENT ON VIEW v_top_patterns IS
    'Templates that are not deprecated, most used first; recent_usage_count covers the last 30 days, the mean improvement all events. Created by migration 001.'$view$),
    ('v_pattern_quality_trends', $view$CREATE OR REPLACE VIEW v_pattern_quality_trends AS
SELECT
    template.id,
    template.pattern_name,
    template.pattern_type,
    (event.used_at AT TIME ZONE 'UTC')::date AS usage_date,
    count(*) AS usage_count,
    avg(pattern_usage_averageable(event.quality_improvement))::double precision AS avg_quality_improvement,
    avg(event.success::int)::double precision AS success_rate
FROM pattern_templates AS template
JOIN pattern_usage_events AS event ON event.pattern_id = template.id
GROUP BY template.id, template.pattern_name, template.pattern_type, (event.used_at AT TIME ZONE 'UTC')::date;
COMMENT ON VIEW v_pattern_quality_trends IS 'Use and quality of each template per day (UTC). Created by migration 001.'$view$)
) AS wanted (name, text)
LEFT JOIN pg_class AS present ON present.oid = to_regclass(wanted.name)
-- One of somebody else that is still there stays.
WHERE present.oid IS NULL OR obj_description(present.oid, 'pg_class') LIKE '%Created by migration 001.';
