-- Park a row as a dead letter, or count one more attempt; each one doubles the wait for the next, up to a week.
INSERT INTO pattern_sync_dead_letters AS parked (collection, target_identity, node_id, stage, error)
VALUES (%(collection)s, %(target_identity)s, %(node_id)s, %(stage)s, %(error)s)
ON CONFLICT (collection, target_identity, node_id) DO UPDATE
    SET
        stage = excluded.stage,
        error = excluded.error,
        attempts = CASE WHEN %(changed)s THEN 1 ELSE parked.attempts + 1 END,
        last_failed_at = now(),
        next_attempt_at = now() + CASE
            WHEN %(changed)s THEN interval '1 hour'
            ELSE least(interval '7 days', interval '1 hour' * 2 ^ least(parked.attempts, 10))
        END;
