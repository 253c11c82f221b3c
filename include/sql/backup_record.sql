-- Note a snapshot that was made, so that it is pruned one day. Qdrant names a snapshot by the second: one that is made in the
-- same second as another replaces it.
INSERT INTO pattern_sync_backups
    (collection, snapshot, name, target_identity, progress, points, bytes, checksum, dag_run_id)
VALUES
    (%(collection)s, %(snapshot)s, %(name)s, %(target_identity)s, %(progress)s, %(points)s, %(bytes)s, %(checksum)s,
        %(dag_run_id)s)
ON CONFLICT (collection, snapshot) DO UPDATE SET
    name = excluded.name,
    target_identity = excluded.target_identity,
    progress = excluded.progress,
    points = excluded.points,
    bytes = excluded.bytes,
    checksum = excluded.checksum,
    dag_run_id = excluded.dag_run_id,
    created_at = excluded.created_at;
