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
    latency_p50 = %(latency_p50)s,
    latency_p99 = %(latency_p99)s
WHERE id = %(id)s;
