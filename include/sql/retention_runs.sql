-- Delete the runs of sync and scores that ended so many days ago. A run without an end was killed.
WITH synced AS (
    DELETE FROM pattern_sync_runs
    WHERE coalesce(finished_at, started_at) < now() - make_interval(days => %(days)s)
    RETURNING 1
),

scored AS (
    DELETE FROM pattern_quality_runs
    WHERE coalesce(finished_at, started_at) < now() - make_interval(days => %(days)s)
    RETURNING 1
)

SELECT (SELECT count(*) FROM synced) + (SELECT count(*) FROM scored) AS deleted;
