-- asyncpg: relate two templates under an id that the caller made, or change what is given of a relationship that
-- exists. Sent again because the answer was lost, it finds its own one.
INSERT INTO pattern_template_relationships AS existing (
    id, source_pattern_id, target_pattern_id, relationship_type, strength, description, context
)
VALUES ($7::uuid, $1::uuid, $2::uuid, $3::text, coalesce($4::double precision, 0.5), $5::text, $6::text::jsonb)
ON CONFLICT (source_pattern_id, target_pattern_id, relationship_type) DO UPDATE SET
    strength = coalesce($4::double precision, existing.strength),
    description = coalesce($5::text, existing.description),
    context = coalesce($6::text::jsonb, existing.context::jsonb)
RETURNING
    id,
    source_pattern_id,
    target_pattern_id,
    relationship_type,
    strength::double precision AS strength,
    description,
    -- As of a template's columns: null if Python has no such time.
    CASE WHEN discovered_at >= '0001-01-01 00:00+00' AND discovered_at < '10000-01-01 00:00+00' THEN discovered_at END AS discovered_at,
    updated_at,
    id = $7::uuid AS created;
