-- Close runs that were killed: whoever holds the lock knows that none of them is alive.
UPDATE pattern_quality_runs
SET
    status = 'abandoned',
    finished_at = now(),
    error = 'the process was killed; the next run took over'
WHERE status = 'running';
