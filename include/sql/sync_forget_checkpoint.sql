-- Drop the watermark of a collection that no run follows any more; it would keep tombstones alive.
DELETE FROM pattern_sync_checkpoints
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
