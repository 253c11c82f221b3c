-- asyncpg: change what is given of a relationship, named by its id or by its two ends and its type.
UPDATE pattern_template_relationships
SET
    strength = coalesce($5::double precision, strength),
    description = coalesce($6::text, description),
    context = coalesce($7::text::jsonb, context::jsonb)
WHERE
    ($1::uuid IS NULL OR id = $1::uuid)
    AND ($2::uuid IS NULL OR source_pattern_id = $2::uuid)
    AND ($3::uuid IS NULL OR target_pattern_id = $3::uuid)
    AND ($4::text IS NULL OR relationship_type = $4::text)
RETURNING
    id,
    source_pattern_id,
    target_pattern_id,
    relationship_type,
    strength::double precision AS strength,
    description,
    -- As of a template's columns: null if Python has no such time.
    CASE WHEN discovered_at >= '0001-01-01 00:00+00' AND discovered_at < '10000-01-01 00:00+00' THEN discovered_at END AS discovered_at,
    updated_at;
