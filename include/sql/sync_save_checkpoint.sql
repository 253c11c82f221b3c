-- Move a collection's watermark.
INSERT INTO pattern_sync_checkpoints (
    collection, target_identity, system_identifier, watermark_xid, watermark_id, capture_identity
)
VALUES (
    %(collection)s, %(target_identity)s, %(system_identifier)s, %(xid)s::text::xid8, %(id)s,
    %(capture_identity)s
)
ON CONFLICT (collection) DO UPDATE
    SET
        target_identity = excluded.target_identity,
        system_identifier = excluded.system_identifier,
        watermark_xid = excluded.watermark_xid,
        watermark_id = excluded.watermark_id,
        capture_identity = excluded.capture_identity,
        updated_at = now();
