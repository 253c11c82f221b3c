-- Forget deletions that every collection has seen, and those older than the time they are kept. How far that went is
-- noted, so that a collection whose watermark lies before it is compared as a whole.
WITH pruned AS (
    DELETE FROM pattern_sync_tombstones
    WHERE
        sync_xid <= (SELECT min(coalesce(watermark_xid, '0'::xid8)) FROM pattern_sync_checkpoints)
        OR deleted_at < now() - make_interval(days => %(keep_days)s)
    RETURNING sync_xid
)

INSERT INTO pattern_sync_pruned AS already (sync_xid)
SELECT max(sync_xid)
FROM pruned
HAVING count(*) > 0
ON CONFLICT (only_row) DO UPDATE
    SET sync_xid = greatest(already.sync_xid, excluded.sync_xid);
