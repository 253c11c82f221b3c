-- Age of the oldest change that lies beyond the horizon; 0 when there is none.
SELECT coalesce(extract(EPOCH FROM now() - min(updated_at)), 0)::float8
FROM pattern_lineage_nodes
WHERE sync_xid >= %(horizon)s::text::xid8;
