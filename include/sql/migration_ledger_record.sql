-- Record what a run does or has done with a migration.
INSERT INTO pattern_schema_migrations (version, name, checksum, rollback_checksum, state, run_id, notes)
VALUES (%(version)s, %(name)s, %(checksum)s, %(rollback_checksum)s, %(state)s, %(run_id)s, %(notes)s)
ON CONFLICT (version) DO UPDATE SET
    name = excluded.name,
    checksum = excluded.checksum,
    rollback_checksum = excluded.rollback_checksum,
    state = excluded.state,
    run_id = excluded.run_id,
    notes = excluded.notes,
    recorded_by = excluded.recorded_by,
    recorded_at = excluded.recorded_at;
