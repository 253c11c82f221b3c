-- Forget deletions that every collection has seen.
DELETE FROM pattern_sync_tombstones
WHERE sync_xid <= (SELECT min(watermark_xid) FROM pattern_sync_checkpoints);
