-- The two tables as an installation has them before the first migration: no sync columns, scores tied by foreign key.
CREATE TABLE pattern_lineage_nodes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_id varchar(255),
    pattern_name varchar(255),
    pattern_type varchar(100),
    pattern_version varchar(50) DEFAULT '1.0.0',
    lineage_id uuid,
    generation integer DEFAULT 1,
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
    -- Counters that this installation added; they change often and do not concern the sync.
    usage_count integer NOT NULL DEFAULT 0,
    last_used_at timestamptz,
    UNIQUE (pattern_id, pattern_version)
);

CREATE TABLE pattern_quality_metrics (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pattern_id uuid NOT NULL
    CONSTRAINT pattern_quality_metrics_pattern_id_fkey
    REFERENCES pattern_lineage_nodes (id) ON DELETE CASCADE,
    quality_score double precision NOT NULL,
    confidence double precision,
    measurement_timestamp timestamptz DEFAULT now(),
    version text DEFAULT '1.0.0',
    metadata jsonb DEFAULT '{}'
);
