-- Turn intentions into events, or drop them. What a run found in Qdrant decides: a point as it should be (present) was
-- written as intended if its hash is the intended one; a point that is not there was deleted.
WITH found AS (
    SELECT *
    FROM unnest(%(node_ids)s::uuid [], %(present)s::boolean [], %(content_hashes)s::text []) AS point (
        node_id, present, content_hash
    )
),

dropped AS (
    DELETE FROM pattern_sync_outbox AS intended
    USING found
    WHERE
        intended.collection = %(collection)s
        AND intended.target_identity = %(target_identity)s
        AND intended.node_id = found.node_id
        AND intended.indexed_at IS NULL
        AND (
            found.present IS DISTINCT FROM (intended.action <> 'deleted')
            OR (found.present AND intended.content_hash IS DISTINCT FROM found.content_hash)
        )
)

UPDATE pattern_sync_outbox AS intended
SET indexed_at = clock_timestamp()
FROM found
WHERE
    intended.collection = %(collection)s
    AND intended.target_identity = %(target_identity)s
    AND intended.node_id = found.node_id
    AND intended.indexed_at IS NULL
    AND found.present IS NOT DISTINCT FROM (intended.action <> 'deleted')
    AND (NOT found.present OR intended.content_hash IS NOT DISTINCT FROM found.content_hash);
