-- Delete tombstones that every collection has taken, and those older than so many days unless that is 0. How far that
-- went is noted, so that a collection whose watermark lies before it is compared as a whole.
WITH pruned AS (
    DELETE FROM pattern_sync_tombstones
    WHERE
        sync_xid <= (SELECT min(coalesce(watermark_xid, '0'::xid8)) FROM pattern_sync_checkpoints)
        OR (%(days)s > 0 AND deleted_at < now() - make_interval(days => %(days)s))
    RETURNING sync_xid
),

noted AS (
    INSERT INTO pattern_sync_pruned AS already (sync_xid)
    SELECT max(sync_xid)
    FROM pruned
    HAVING count(*) > 0
    ON CONFLICT (only_row) DO UPDATE
        SET sync_xid = greatest(already.sync_xid, excluded.sync_xid)
)

SELECT count(*) FROM pruned;
