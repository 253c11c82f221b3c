-- Move a collection's watermark.
UPDATE pattern_sync_checkpoints
SET
    system_identifier = %(system_identifier)s,
    watermark_xid = %(xid)s::text::xid8,
    watermark_id = %(id)s,
    capture_identity = %(capture_identity)s,
    updated_at = now()
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
