-- Drop the watermark of a collection that no run follows any more; it would keep tombstones alive.
DELETE FROM pattern_sync_state
WHERE collection = %(collection)s;
