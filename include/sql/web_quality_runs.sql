-- What the newest successful runs of the quality backfill scored, the oldest of them first.
SELECT *
FROM (
    SELECT
        finished_at,
        dag_id,
        dag_run_id,
        version,
        scored,
        excellent,
        good,
        fair,
        poor,
        average_score
    FROM pattern_quality_runs
    WHERE
        status = 'succeeded'
        AND scored > 0
    ORDER BY started_at DESC
    LIMIT $1
) AS newest
ORDER BY finished_at;
