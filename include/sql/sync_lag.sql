-- Age of the oldest change that a snapshot did not show, and that is visible now; 0 when there is none.
SELECT coalesce(extract(EPOCH FROM now() - min(updated_at)), 0)::float8
FROM pattern_lineage_nodes
WHERE
    sync_xid >= pg_snapshot_xmin(%(seen)s::pg_snapshot)
    AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
    AND NOT pg_visible_in_snapshot(sync_xid, %(seen)s::pg_snapshot);
