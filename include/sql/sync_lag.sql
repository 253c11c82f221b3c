-- What a snapshot did not show, and what is visible now: the age of the oldest change in seconds, 0 when there is none, and
-- the number of rows. Rows that it showed are not read, however many lie behind a transaction that stays open.
SELECT
    coalesce(extract(EPOCH FROM now() - min(updated_at)), 0)::float8,
    count(*)
FROM (
    SELECT updated_at
    FROM pattern_lineage_nodes
    WHERE
        sync_xid >= pg_snapshot_xmax(%(seen)s::pg_snapshot)
        AND sync_xid < pg_snapshot_xmax(pg_current_snapshot())
    UNION ALL
    SELECT node.updated_at
    FROM pg_snapshot_xip(%(seen)s::pg_snapshot) AS open (xid)
    CROSS JOIN LATERAL (
        -- As in sync_look.
        SELECT updated_at
        FROM pattern_lineage_nodes
        WHERE sync_xid BETWEEN open.xid AND open.xid
        ORDER BY sync_xid, id
    ) AS node
) AS changed;
