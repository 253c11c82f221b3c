-- Whether a stream has begun to look for changes.
SELECT EXISTS (
    SELECT FROM pattern_sync_runs
    WHERE
        kind = 'stream'
        AND status = 'running'
);
