-- Store the scores of one batch: one current score per pattern, the later measurement wins. In id order, so that two
-- writers wait for each other instead of locking each other out. Parameters travel in binary: quoting arrays as text costs
-- the client more than the whole statement costs the server.
INSERT INTO pattern_quality_metrics AS score
    (pattern_id, quality_score, confidence, measurement_timestamp, version, metadata)
SELECT
    batch.pattern_id,
    batch.quality_score,
    batch.confidence,
    now(),
    %(version)s,
    batch.metadata::jsonb
FROM
    unnest(%(ids)b::uuid[], %(scores)b::float8[], %(confidences)b::float8[], %(metadata)b::text[])
        AS batch (pattern_id, quality_score, confidence, metadata)
ORDER BY batch.pattern_id
ON CONFLICT (pattern_id) DO UPDATE
    SET
        quality_score = excluded.quality_score,
        confidence = excluded.confidence,
        measurement_timestamp = excluded.measurement_timestamp,
        version = excluded.version,
        metadata = excluded.metadata;
