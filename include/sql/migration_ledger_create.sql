-- The ledger of migrations.
CREATE TABLE IF NOT EXISTS pattern_schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    rollback_checksum text NOT NULL,
    state text NOT NULL CHECK (state IN ('applied', 'applying', 'rolling back')),
    run_id text NOT NULL,
    recorded_by text NOT NULL DEFAULT current_user,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    notes text[] NOT NULL DEFAULT '{}'
);
ALTER TABLE pattern_schema_migrations ADD COLUMN IF NOT EXISTS notes text[] NOT NULL DEFAULT '{}';
COMMENT ON TABLE pattern_schema_migrations IS
    'Migrations this database has seen. Written by the DAG schema_migration only.';
COMMENT ON COLUMN pattern_schema_migrations.version IS 'Number of the migration.';
COMMENT ON COLUMN pattern_schema_migrations.name IS 'Its forward file.';
COMMENT ON COLUMN pattern_schema_migrations.checksum IS 'SHA-256 of the forward file as it was run.';
COMMENT ON COLUMN pattern_schema_migrations.rollback_checksum IS 'SHA-256 of the rollback file at that time.';
COMMENT ON COLUMN pattern_schema_migrations.state IS
    'applied; applying or rolling back while a file without a transaction runs, or when its run died.';
COMMENT ON COLUMN pattern_schema_migrations.run_id IS 'The run that did it.';
COMMENT ON COLUMN pattern_schema_migrations.recorded_by IS 'Role that did it.';
COMMENT ON COLUMN pattern_schema_migrations.recorded_at IS 'When.';
COMMENT ON COLUMN pattern_schema_migrations.notes IS 'What the run found and decided, such as a table of others that it left alone.';
