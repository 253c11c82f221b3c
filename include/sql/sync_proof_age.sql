-- Seconds since a run last proved that both sides are equal; no row where none did.
SELECT extract(EPOCH FROM now() - finished_at)::float8
FROM pattern_sync_runs
WHERE
    name = %(name)s
    AND parity = 'proven'
    AND finished_at IS NOT NULL
ORDER BY started_at DESC
LIMIT 1;
