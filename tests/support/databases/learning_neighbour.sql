-- The learning tables as an older release made them, with readers of all kinds: numeric columns, a generated improvement,
-- a materialized view of the published name, a trigger function of the name of ours.

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
    confidence_score numeric(3, 2) DEFAULT 0.50 CHECK (confidence_score >= 0.0 AND confidence_score <= 1.0),
    usage_count int DEFAULT 0,
    success_rate numeric(3, 2) DEFAULT 0.50 CHECK (success_rate >= 0.0 AND success_rate <= 1.0),
    complexity_score int,
    maintainability_score numeric(3, 2),
    performance_score numeric(3, 2),
    parent_pattern_id uuid REFERENCES pattern_templates (id) ON DELETE SET NULL,
    is_deprecated boolean DEFAULT false,
    deprecated_by_id uuid REFERENCES pattern_templates (id) ON DELETE SET NULL,
    discovered_at timestamptz DEFAULT now(),
    last_used_at timestamptz,
    updated_at timestamptz DEFAULT now(),
    created_by varchar(100) DEFAULT 'system',
    tags varchar(50)[],
    context json DEFAULT '{}',
    UNIQUE (pattern_name, pattern_type, language)
);
CREATE TABLE pattern_usage_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_id uuid NOT NULL REFERENCES pattern_templates (id) ON DELETE CASCADE,
    correlation_id uuid,
    file_path varchar(500),
    project_id uuid,
    success boolean NOT NULL,
    execution_time_ms int,
    error_message text,
    quality_before numeric(3, 2),
    quality_after numeric(3, 2),
    quality_improvement numeric(3, 2) GENERATED ALWAYS AS (quality_after - quality_before) STORED,
    context jsonb DEFAULT '{}',
    tags text[],
    used_at timestamptz DEFAULT now()
);
CREATE FUNCTION update_pattern_stats() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pattern_templates
    SET usage_count = usage_count + 1, last_used_at = NEW.used_at
    WHERE id = NEW.pattern_id;
    RETURN NEW;
END $$;
CREATE TRIGGER update_stats AFTER INSERT ON pattern_usage_events
    FOR EACH ROW EXECUTE FUNCTION update_pattern_stats();
CREATE MATERIALIZED VIEW v_top_patterns AS
SELECT id, pattern_name, usage_count, success_rate FROM pattern_templates ORDER BY usage_count DESC;
CREATE VIEW v_pattern_quality_trends AS
SELECT pattern_id, avg(quality_improvement) AS improvement FROM pattern_usage_events GROUP BY pattern_id;
CREATE VIEW improving AS SELECT * FROM v_pattern_quality_trends WHERE improvement > 0;
CREATE FUNCTION best_template() RETURNS SETOF pattern_templates LANGUAGE sql AS
    'SELECT * FROM pattern_templates ORDER BY confidence_score DESC LIMIT 1';
CREATE TABLE favourites (template_name varchar(255), pattern_type varchar(100), language varchar(50),
    FOREIGN KEY (template_name, pattern_type, language)
        REFERENCES pattern_templates (pattern_name, pattern_type, language));
