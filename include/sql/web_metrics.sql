-- What a target's runs for a name did that started in the last 24 hours, by kind and outcome; of more than 10,000 runs
-- the newest.
WITH recent AS (
    SELECT *
    FROM pattern_sync_runs
    WHERE
        name = $1
        AND target IS NOT DISTINCT FROM $2
        AND started_at > now() - interval '24 hours'
    ORDER BY started_at DESC
    LIMIT 10000
)

SELECT
    kind,
    status,
    count(*) AS runs,
    max(finished_at) AS last_at,
    sum(extract(EPOCH FROM coalesce(finished_at, now()) - started_at))::float8 AS seconds,
    sum(read_seconds) AS read_seconds,
    sum(embed_seconds) AS embed_seconds,
    sum(upsert_seconds) AS upsert_seconds,
    sum(prove_seconds) AS prove_seconds,
    sum(created)::bigint AS new,
    sum(changed)::bigint AS changed,
    sum(words_only)::bigint AS words_only,
    sum(payload_only)::bigint AS payload_only,
    sum(unchanged)::bigint AS unchanged,
    sum(deleted)::bigint AS deleted,
    sum(parked)::bigint AS parked,
    sum(embedded_texts)::bigint AS embedded_texts,
    sum(embedded_characters)::bigint AS embedded_characters,
    max(started_at) FILTER (WHERE latency_p99 IS NOT NULL) AS measured_at,
    (array_agg(latency_p50 ORDER BY started_at DESC) FILTER (WHERE latency_p99 IS NOT NULL))[1] AS latency_p50,
    (array_agg(latency_p99 ORDER BY started_at DESC) FILTER (WHERE latency_p99 IS NOT NULL))[1] AS latency_p99
FROM recent
GROUP BY kind, status
ORDER BY kind, status;
