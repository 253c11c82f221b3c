-- Delete tombstones that every collection has taken, and those older than so many days unless that is 0. How far that
-- went is noted, so that a collection whose watermark lies before it is compared as a whole. Tombstones that came with a
-- dump of another cluster may have ids from the future: they were deleted before the restore, after which everything is
-- compared, so they are not noted.
WITH pruned AS (
    DELETE FROM pattern_sync_tombstones
    WHERE
        sync_xid <= (SELECT min(coalesce(watermark_xid, '0'::xid8)) FROM pattern_sync_checkpoints)
        OR (%(days)s > 0 AND deleted_at < now() - make_interval(days => %(days)s))
    RETURNING sync_xid
),

noted AS (
    INSERT INTO pattern_sync_pruned AS already (system_identifier, sync_xid)
    SELECT
        (SELECT system_identifier::text FROM pg_control_system()),
        max(sync_xid)
    FROM pruned
    WHERE pg_visible_in_snapshot(sync_xid, pg_current_snapshot())
    HAVING count(*) > 0
    ON CONFLICT (system_identifier) DO UPDATE
        SET
            sync_xid = CASE
                WHEN pg_visible_in_snapshot(already.sync_xid, pg_current_snapshot())
                    THEN greatest(already.sync_xid, excluded.sync_xid)
                ELSE excluded.sync_xid
            END
)

SELECT count(*) FROM pruned;
