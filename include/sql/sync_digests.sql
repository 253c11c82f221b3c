-- The digests of a collection's id ranges.
SELECT
    first_id,
    rows_digest,
    points_digest,
    whole_at
FROM pattern_sync_digests
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s
ORDER BY first_id;
