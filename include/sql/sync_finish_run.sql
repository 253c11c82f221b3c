-- Close a run in the history with what it did.
UPDATE pattern_sync_runs
SET
    status = %(status)s,
    kind = %(kind)s,
    finished_at = now(),
    watermark_to = %(watermark_to)s::text::xid8,
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
    parity = %(parity)s,
    replaced = %(replaced)s,
    latency_p50 = %(latency_p50)s,
    latency_p99 = %(latency_p99)s,
    error = %(error)s
WHERE id = %(id)s;
