-- Note a snapshot that was made, so that it is pruned one day.
INSERT INTO pattern_sync_backups
    (collection, snapshot, name, target_identity, progress, points, bytes, checksum, dag_run_id)
VALUES
    (%(collection)s, %(snapshot)s, %(name)s, %(target_identity)s, %(progress)s, %(points)s, %(bytes)s, %(checksum)s,
        %(dag_run_id)s);
