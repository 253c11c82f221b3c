-- Runs that the sync's own history calls running.
SELECT count(*)
FROM pattern_sync_runs
WHERE status = 'running' AND kind <> 'stream';
