-- Close runs that were killed. Whoever has the collection for itself knows that none of them is alive; a shard knows
-- it of those that would want the collection for themselves, and of earlier tries of its own range.
UPDATE pattern_sync_runs
SET
    status = 'abandoned',
    finished_at = now(),
    error = 'the process was killed; the next run took over'
WHERE
    collection = %(collection)s
    AND status = 'running'
    AND (
        %(first_id)s::uuid IS NULL
        OR kind <> 'shard'
        OR (first_id = %(first_id)s::uuid AND last_id = %(last_id)s::uuid)
    );
