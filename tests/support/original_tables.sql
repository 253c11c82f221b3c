-- The tables as an installation has them that never saw this project's migrations: older types, missing columns, keys
-- with other rules, counters of its own, triggers that get things wrong; with rows, duplicates and orphaned scores.

CREATE TABLE pattern_lineage_nodes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_id varchar(255),
    pattern_name varchar(255),
    pattern_type varchar(100),
    pattern_version varchar(50) DEFAULT '1.0.0',
    lineage_id uuid,
    generation int DEFAULT 1,
    source_system varchar(100),
    source_user varchar(100),
    source_event_id uuid,
    pattern_data jsonb NOT NULL,
    metadata jsonb DEFAULT '{}',
    correlation_id uuid,
    created_at timestamptz DEFAULT now(),
    event_type varchar(100),
    tool_name varchar(255),
    usage_count int DEFAULT 0,
    last_used_at timestamptz,
    UNIQUE (pattern_id, pattern_version)
);
COMMENT ON TABLE pattern_lineage_nodes IS 'Ours since 2019';

INSERT INTO pattern_lineage_nodes (id, pattern_id, pattern_name, pattern_type, pattern_data, usage_count)
SELECT
    ('00000000-0000-0000-0000-' || lpad(number::text, 12, '0'))::uuid,
    'pattern-' || number,
    'Pattern ' || number,
    'code',
    CASE WHEN number % 2 = 0
        THEN jsonb_build_object('code', 'x = ' || number || ' % 7')
        ELSE to_jsonb(jsonb_build_object('code', 'y = ' || number)::text)
    END,
    number
FROM generate_series(1, 20) AS number;

CREATE TABLE pattern_quality_metrics (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_id uuid NOT NULL,
    quality_score double precision NOT NULL,
    confidence real,
    measurement_timestamp timestamptz DEFAULT now(),
    version text DEFAULT '1.0.0',
    metadata jsonb DEFAULT '{}'
);

INSERT INTO pattern_quality_metrics (id, pattern_id, quality_score, measurement_timestamp) VALUES
    -- The newest wins.
    ('10000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', 0.1, '2025-01-01Z'),
    ('10000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 0.2, '2025-03-01Z'),
    ('10000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000001', 0.3, '2025-02-01Z'),
    -- No timestamp loses against an old one.
    ('10000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000002', 0.4, '1999-01-01Z'),
    ('10000000-0000-0000-0000-000000000005', '00000000-0000-0000-0000-000000000002', 0.5, NULL),
    -- Equal ones are decided by the greater id.
    ('10000000-0000-0000-0000-000000000006', '00000000-0000-0000-0000-000000000003', 0.6, '2025-01-01Z'),
    ('10000000-0000-0000-0000-000000000007', '00000000-0000-0000-0000-000000000003', 0.7, '2025-01-01Z'),
    ('10000000-0000-0000-0000-000000000008', '00000000-0000-0000-0000-000000000004', 0.8, NULL),
    ('10000000-0000-0000-0000-000000000009', '00000000-0000-0000-0000-000000000004', 0.9, NULL),
    -- Scores without lineage.
    ('10000000-0000-0000-0000-00000000000a', 'ffffffff-0000-0000-0000-000000000001', 0.5, '2025-01-01Z'),
    ('10000000-0000-0000-0000-00000000000b', 'ffffffff-0000-0000-0000-000000000002', 0.5, '2025-01-01Z'),
    ('10000000-0000-0000-0000-00000000000c', 'ffffffff-0000-0000-0000-000000000002', 0.6, '2025-01-02Z');

CREATE TABLE pattern_templates (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_name varchar(255) NOT NULL,
    pattern_type varchar(100) NOT NULL,
    language varchar(50) DEFAULT 'python',
    category varchar(100),
    template_code text NOT NULL,
    description text,
    example_usage text,
    source varchar(255),
    confidence_score numeric(5, 4) DEFAULT 0.5,
    usage_count int DEFAULT 0,
    success_rate numeric(5, 4) DEFAULT 0.5,
    complexity_score int,
    parent_pattern_id uuid REFERENCES pattern_templates (id),
    is_deprecated boolean DEFAULT false,
    discovered_at timestamptz DEFAULT now(),
    last_used_at timestamptz,
    created_by varchar(100) DEFAULT 'system',
    tags varchar(50)[],
    context json,
    UNIQUE (pattern_name, pattern_type, language)
);
INSERT INTO pattern_templates (id, pattern_name, pattern_type, template_code, confidence_score, complexity_score, tags, context)
VALUES
    ('20000000-0000-0000-0000-000000000001', 'retry', 'code', 'while True: ...', 0.75, 5, '{net,io}', '{"a": 1}'),
    ('20000000-0000-0000-0000-000000000002', 'cache', 'code', 'memo = {}', 0.5, NULL, NULL, NULL);

CREATE TABLE pattern_usage_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_id uuid NOT NULL REFERENCES pattern_templates (id),
    correlation_id uuid,
    file_path text,
    project_id uuid,
    success boolean NOT NULL,
    execution_time_ms int,
    error_message text,
    quality_before numeric(3, 2),
    quality_after numeric(3, 2),
    quality_improvement numeric(3, 2),
    context jsonb,
    used_at timestamptz DEFAULT now()
);
CREATE FUNCTION old_improvement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.quality_before <> 0 AND NEW.quality_after <> 0 THEN
        NEW.quality_improvement := NEW.quality_after - NEW.quality_before;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER old_improvement BEFORE INSERT ON pattern_usage_events
    FOR EACH ROW EXECUTE FUNCTION old_improvement();
INSERT INTO pattern_usage_events (id, pattern_id, success, quality_before, quality_after) VALUES
    ('30000000-0000-0000-0000-000000000001', '20000000-0000-0000-0000-000000000001', true, 0, 0.5),
    ('30000000-0000-0000-0000-000000000002', '20000000-0000-0000-0000-000000000001', false, 0.5, 0.25),
    ('30000000-0000-0000-0000-000000000003', '20000000-0000-0000-0000-000000000001', true, NULL, 0.25);

CREATE TABLE pattern_analytics (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    pattern_id uuid,
    total_usage_count int,
    computed_at timestamptz DEFAULT now(),
    UNIQUE (period_start, period_end, pattern_id)
);
-- A unique key does not stop several rows without a pattern.
INSERT INTO pattern_analytics (id, period_start, period_end, total_usage_count, computed_at) VALUES
    ('40000000-0000-0000-0000-000000000001', '2025-01-01Z', '2025-01-02Z', 1, '2025-01-02Z'),
    ('40000000-0000-0000-0000-000000000002', '2025-01-01Z', '2025-01-02Z', 2, '2025-01-03Z'),
    ('40000000-0000-0000-0000-000000000003', '2025-01-02Z', '2025-01-03Z', 3, '2025-01-03Z');

CREATE FUNCTION update_pattern_stats(p_pattern_id uuid) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE VIEW v_top_patterns AS
SELECT id, pattern_name, usage_count, success_rate FROM pattern_templates ORDER BY usage_count DESC;
