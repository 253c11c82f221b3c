-- The installation that most users run: the lineage service counts use and rates patterns in columns of its own, and keeps
-- relationships of lineage nodes in a table that has the name of ours.

CREATE TABLE pattern_lineage_nodes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_id varchar(255) NOT NULL,
    pattern_name varchar(255) NOT NULL,
    pattern_type varchar(100) NOT NULL,
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
    file_path text,
    language varchar(50),
    complexity_score numeric(3, 2) CHECK (complexity_score BETWEEN 0 AND 1),
    documentation_score numeric(3, 2) CHECK (documentation_score BETWEEN 0 AND 1),
    test_coverage_score numeric(3, 2) CHECK (test_coverage_score BETWEEN 0 AND 1),
    reusability_score numeric(3, 2) CHECK (reusability_score BETWEEN 0 AND 1),
    maintainability_score numeric(3, 2) CHECK (maintainability_score BETWEEN 0 AND 1),
    overall_quality numeric(3, 2) CHECK (overall_quality BETWEEN 0 AND 1),
    usage_count int DEFAULT 0,
    last_used_at timestamptz,
    used_by_agents text[] DEFAULT '{}',
    UNIQUE (pattern_id, pattern_version)
);
CREATE INDEX lineage_by_quality ON pattern_lineage_nodes (overall_quality DESC);
CREATE INDEX lineage_by_usage ON pattern_lineage_nodes (usage_count DESC);
CREATE INDEX lineage_by_agents ON pattern_lineage_nodes USING gin (used_by_agents);

CREATE TABLE pattern_relationships (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source_pattern_id uuid NOT NULL REFERENCES pattern_lineage_nodes (id) ON DELETE CASCADE,
    target_pattern_id uuid NOT NULL REFERENCES pattern_lineage_nodes (id) ON DELETE CASCADE,
    relationship_type varchar(50) NOT NULL,
    confidence numeric(3, 2) DEFAULT 1.0 CHECK (confidence BETWEEN 0 AND 1),
    metadata jsonb DEFAULT '{}',
    created_at timestamptz DEFAULT now(),
    created_by varchar(100),
    UNIQUE (source_pattern_id, target_pattern_id, relationship_type),
    CHECK (source_pattern_id <> target_pattern_id)
);
CREATE INDEX pattern_relationships_source_idx ON pattern_relationships (source_pattern_id);
CREATE INDEX pattern_relationships_target_idx ON pattern_relationships (target_pattern_id);
CREATE VIEW strong_relationships AS
SELECT source_pattern_id, target_pattern_id, confidence FROM pattern_relationships WHERE confidence > 0.7;

CREATE TABLE agent_manifest_injections (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_name text NOT NULL,
    patterns uuid[] NOT NULL,
    injected_at timestamptz DEFAULT now()
);
CREATE FUNCTION count_injected_patterns() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pattern_lineage_nodes
    SET usage_count = usage_count + 1,
        last_used_at = NEW.injected_at,
        used_by_agents = array_append(used_by_agents, NEW.agent_name)
    WHERE id = ANY (NEW.patterns);
    RETURN NEW;
END $$;
CREATE TRIGGER count_injected_patterns AFTER INSERT ON agent_manifest_injections
    FOR EACH ROW EXECUTE FUNCTION count_injected_patterns();
