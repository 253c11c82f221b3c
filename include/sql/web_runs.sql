-- The newest runs of a target's sync for a name, of one kind or of all.
SELECT
    id,
    kind,
    status,
    collection,
    dag_id,
    dag_run_id,
    task_try,
    started_at,
    finished_at,
    extract(EPOCH FROM coalesce(finished_at, now()) - started_at)::float8 AS seconds,
    examined,
    created AS new,
    changed,
    words_only,
    payload_only,
    unchanged,
    deleted,
    parked,
    embedded_texts,
    embedded_characters,
    read_seconds,
    embed_seconds,
    upsert_seconds,
    prove_seconds,
    parity,
    latency_p50,
    latency_p99,
    error
FROM pattern_sync_runs
WHERE
    name = $1
    AND target IS NOT DISTINCT FROM $2
    AND ($5::text IS NULL OR kind = $5)
ORDER BY started_at DESC, id
LIMIT $3
OFFSET $4;
