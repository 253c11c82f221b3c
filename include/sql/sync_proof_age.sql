-- Seconds since a run of a target last proved that both sides are equal; no row where none did.
SELECT extract(EPOCH FROM now() - finished_at)::float8
FROM pattern_sync_runs
WHERE
    name = %(name)s
    AND target IS NOT DISTINCT FROM %(target)s::text
    AND parity = 'proven'
    AND finished_at IS NOT NULL
ORDER BY started_at DESC
LIMIT 1;
