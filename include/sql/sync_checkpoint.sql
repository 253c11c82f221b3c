-- How far a collection has been synced.
SELECT
    target_identity,
    system_identifier,
    watermark_xid::text::bigint,
    watermark_id,
    capture_identity
FROM pattern_sync_checkpoints
WHERE collection = %(collection)s;
