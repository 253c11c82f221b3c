-- The digests of a collection's id ranges. What was read whole in the future, by a clock that was ahead, counts as not read:
-- until then nobody would read it again.
SELECT
    first_id,
    rows_digest,
    points_digest,
    CASE WHEN whole_at <= clock_timestamp() THEN whole_at END AS whole_at
FROM pattern_sync_digests
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s
ORDER BY first_id;
