-- Keep what is known now of some id ranges.
INSERT INTO pattern_sync_digests (collection, target_identity, first_id, rows_digest, points_digest, whole_at)
SELECT
    %(collection)s,
    %(target_identity)s,
    first_id,
    rows_digest,
    points_digest,
    whole_at
FROM unnest(
    %(first_ids)s::uuid [], %(rows)s::bytea [], %(points)s::bytea [], %(whole_at)s::timestamptz []
) AS part (first_id, rows_digest, points_digest, whole_at);
