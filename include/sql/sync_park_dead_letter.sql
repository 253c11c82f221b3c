-- Park a row as a dead letter, or count one more attempt.
INSERT INTO pattern_sync_dead_letters AS parked (collection, node_id, stage, error)
VALUES (%(collection)s, %(node_id)s, %(stage)s, %(error)s)
ON CONFLICT (collection, node_id) DO UPDATE
    SET
        stage = excluded.stage,
        error = excluded.error,
        attempts = parked.attempts + 1,
        last_failed_at = now();
