-- Which of these patterns have a score of this version for this content.
SELECT score.pattern_id
FROM unnest(%(ids)s::uuid[], %(hashes)s::text[]) AS wanted (pattern_id, content_hash)
INNER JOIN pattern_quality_metrics AS score ON wanted.pattern_id = score.pattern_id
WHERE
    score.version = %(version)s
    AND score.metadata ->> 'content_hash' = wanted.content_hash;
