-- Dead letters of the collection behind a target's name, those parked longest first, with what the row says of itself.
WITH checkpoint AS (
    SELECT collection, target_identity
    FROM pattern_sync_runs AS run
    INNER JOIN pattern_sync_checkpoints AS found USING (collection, target_identity)
    WHERE
        run.name = $1
        AND run.target IS NOT DISTINCT FROM $2
        AND run.status = 'succeeded'
    -- A run that moved no watermark may have built a collection that readers do not see yet.
    ORDER BY (run.watermark_to IS NULL), run.started_at DESC
    LIMIT 1
)

SELECT
    parked.node_id AS id,
    node.pattern_id,
    node.pattern_name,
    node.file_path,
    parked.stage,
    parked.error,
    parked.attempts,
    parked.first_failed_at,
    parked.last_failed_at,
    parked.next_attempt_at
FROM checkpoint
INNER JOIN pattern_sync_dead_letters AS parked USING (collection, target_identity)
LEFT JOIN pattern_lineage_nodes AS node ON parked.node_id = node.id
ORDER BY parked.first_failed_at, parked.node_id
LIMIT $3
OFFSET $4;
