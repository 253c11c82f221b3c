-- The quality tables as another service has them: narrow types, functions that repeat these types, and readers of all kinds.

CREATE TABLE pattern_lineage_nodes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_id varchar(255),
    pattern_name varchar(255),
    pattern_type varchar(100),
    pattern_version varchar(50) DEFAULT '1.0.0',
    pattern_data jsonb NOT NULL,
    metadata jsonb DEFAULT '{}',
    created_at timestamptz DEFAULT now(),
    UNIQUE (pattern_id, pattern_version)
);
CREATE TABLE pattern_quality_metrics (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_id uuid NOT NULL,
    quality_score numeric(3, 2) NOT NULL CHECK (quality_score BETWEEN 0 AND 1),
    confidence numeric(3, 2) CHECK (confidence BETWEEN 0 AND 1),
    measurement_timestamp timestamptz DEFAULT now(),
    version varchar(50) DEFAULT '1.0.0',
    metadata jsonb DEFAULT '{}',
    CONSTRAINT pattern_quality_metrics_pattern_id_fkey
        FOREIGN KEY (pattern_id) REFERENCES pattern_lineage_nodes (id) ON DELETE CASCADE,
    UNIQUE (pattern_id)
);
CREATE FUNCTION get_latest_quality_metric(wanted uuid)
RETURNS TABLE (
    id uuid, pattern_id uuid, quality_score numeric(3, 2), confidence numeric(3, 2), measured_at timestamptz,
    version varchar(50), metadata jsonb
)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT m.id, m.pattern_id, m.quality_score, m.confidence, m.measurement_timestamp, m.version, m.metadata
    FROM pattern_quality_metrics AS m
    WHERE m.pattern_id = wanted
    ORDER BY m.measurement_timestamp DESC
    LIMIT 1;
END $$;
CREATE FUNCTION newest_metric() RETURNS pattern_quality_metrics LANGUAGE sql AS
    'SELECT m FROM pattern_quality_metrics AS m ORDER BY measurement_timestamp DESC LIMIT 1';
CREATE VIEW quality_overview AS SELECT version, avg(quality_score) AS score FROM pattern_quality_metrics GROUP BY version;
CREATE MATERIALIZED VIEW confident AS SELECT pattern_id, confidence FROM pattern_quality_metrics WHERE confidence > 0.5;
CREATE TABLE quality_audit (pattern_id uuid, version varchar(50));
CREATE RULE audited AS ON DELETE TO pattern_quality_metrics DO ALSO INSERT INTO quality_audit VALUES (OLD.pattern_id, OLD.version);
CREATE TABLE reviews (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric_id uuid REFERENCES pattern_quality_metrics (id) ON DELETE CASCADE,
    pattern_id uuid REFERENCES pattern_quality_metrics (pattern_id)
);
CREATE TABLE schema_migrations (version varchar(255) PRIMARY KEY);
CREATE TABLE schema_versions (id serial PRIMARY KEY, version int NOT NULL);
