-- Store in the history what a run that is still working has done so far.
UPDATE pattern_sync_runs
SET
    examined = %(examined)s,
    created = %(new)s,
    changed = %(changed)s,
    words_only = %(words_only)s,
    payload_only = %(payload_only)s,
    unchanged = %(unchanged)s,
    deleted = %(deleted)s,
    parked = %(parked)s,
    embedded_texts = %(embedded_texts)s,
    embedded_characters = %(embedded_characters)s,
    read_seconds = %(read_seconds)s,
    embed_seconds = %(embed_seconds)s,
    upsert_seconds = %(upsert_seconds)s,
    prove_seconds = %(prove_seconds)s,
    latency_p50 = %(latency_p50)s,
    latency_p99 = %(latency_p99)s
WHERE id = %(id)s;
