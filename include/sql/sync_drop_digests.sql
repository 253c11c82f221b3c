-- Drop what was known of some id ranges.
DELETE FROM pattern_sync_digests
USING unnest(%(first_ids)s::uuid [], %(last_ids)s::uuid []) AS part (first_id, last_id)
WHERE
    pattern_sync_digests.collection = %(collection)s
    AND pattern_sync_digests.target_identity = %(target_identity)s
    AND pattern_sync_digests.first_id BETWEEN part.first_id AND part.last_id;
