-- Open a run in the history, and close those that were killed. Whoever has the collection for itself knows that none of
-- them is alive; a shard knows it of those that would want the collection for themselves, and of earlier tries of its own
-- range. A stream has the collection only now and then, so only the next stream knows that it is dead. The locks
-- go by the collection's name, so this is as right for the runs of another target with that name.
WITH abandoned AS (
    UPDATE pattern_sync_runs
    SET
        status = 'abandoned',
        finished_at = now(),
        error = 'the process was killed; the next run took over'
    WHERE
        collection = %(collection)s
        AND status = 'running'
        AND (kind <> 'stream' OR %(kind)s = 'stream')
        AND (
            %(first_id)s::uuid IS NULL
            OR kind <> 'shard'
            OR (first_id = %(first_id)s::uuid AND last_id = %(last_id)s::uuid)
        )
)

INSERT INTO pattern_sync_runs (
    id, name, target, collection, target_identity, kind, dag_id, dag_run_id, task_try, watermark_from, first_id, last_id
)
VALUES (
    %(id)s, %(name)s, %(target)s, %(collection)s, %(target_identity)s, %(kind)s, %(dag_id)s, %(dag_run_id)s,
    %(task_try)s, %(watermark_from)s::text::xid8, %(first_id)s, %(last_id)s
);
