-- Whether tombstones were pruned that a watermark had not reached.
SELECT EXISTS (SELECT FROM pattern_sync_pruned WHERE sync_xid > %(xid)s::text::xid8);
