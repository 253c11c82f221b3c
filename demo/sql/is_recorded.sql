-- Whether the sync has recorded that Qdrant holds a row as it is now.
SELECT EXISTS (
    SELECT FROM pattern_lineage_nodes AS node
    INNER JOIN pattern_sync_checkpoints AS done
        ON (node.sync_xid, node.id) <= (done.watermark_xid, done.watermark_id)
    WHERE node.id = %(id)s
);
