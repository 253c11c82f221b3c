-- What a snapshot did not show, and what is visible now: the age of the oldest change in seconds, 0 when there is none, and
-- the number of rows.
SELECT
    coalesce(extract(EPOCH FROM now() - min(updated_at)), 0)::float8,
    count(*)
FROM pattern_lineage_nodes
WHERE
    sync_xid >= pg_snapshot_xmin(%(seen)s::pg_snapshot)
    AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
    AND NOT pg_visible_in_snapshot(sync_xid, %(seen)s::pg_snapshot);
