-- Close runs that were killed: whoever holds the collection's lock knows that none of them is alive.
UPDATE pattern_sync_runs
SET
    status = 'abandoned',
    finished_at = now(),
    error = 'the process ended without a word; the next run took over'
WHERE
    collection = %(collection)s
    AND status = 'running';
