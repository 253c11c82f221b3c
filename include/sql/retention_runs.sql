-- Delete the runs of sync and scores that ended so many days ago. A run without an end was killed. The last one that moved
-- a watermark stays as long as the checkpoint: it tells the watcher which collection is behind a name.
WITH telling AS (
    SELECT DISTINCT ON (run.name, run.target, run.collection, run.target_identity) run.id
    FROM pattern_sync_runs AS run
    INNER JOIN pattern_sync_checkpoints AS known USING (collection, target_identity)
    WHERE
        run.status = 'succeeded'
        AND run.watermark_to IS NOT NULL
    ORDER BY run.name, run.target, run.collection, run.target_identity, run.started_at DESC
),

synced AS (
    DELETE FROM pattern_sync_runs
    WHERE
        coalesce(finished_at, started_at) < now() - make_interval(days => %(days)s)
        AND id NOT IN (SELECT id FROM telling)
    RETURNING 1
),

scored AS (
    DELETE FROM pattern_quality_runs
    WHERE coalesce(finished_at, started_at) < now() - make_interval(days => %(days)s)
    RETURNING 1
)

SELECT (SELECT count(*) FROM synced) + (SELECT count(*) FROM scored) AS deleted;
