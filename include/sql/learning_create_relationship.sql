-- asyncpg: relate two templates, or change what is given of a relationship that exists.
INSERT INTO pattern_relationships AS existing (
    source_pattern_id, target_pattern_id, relationship_type, strength, description, context
)
VALUES ($1::uuid, $2::uuid, $3::text, coalesce($4::double precision, 0.5), $5::text, $6::text::jsonb)
ON CONFLICT (source_pattern_id, target_pattern_id, relationship_type) DO UPDATE SET
    strength = coalesce($4::double precision, existing.strength),
    description = coalesce($5::text, existing.description),
    context = coalesce($6::text::jsonb, existing.context)
RETURNING
    id,
    source_pattern_id,
    target_pattern_id,
    relationship_type,
    strength,
    description,
    discovered_at,
    updated_at,
    -- A row that this statement inserted was never locked or updated.
    xmax = 0 AS created;
