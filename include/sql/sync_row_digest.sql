-- For the marks in the proof's queries: a digest of all that the sync reads of a row. The binary form of a row depends on
-- no setting of the session, and quotes nothing.
sha256(record_send(ROW(
    id, pattern_id, pattern_name, pattern_version, pattern_data, metadata, created_at, file_path, language
)))
