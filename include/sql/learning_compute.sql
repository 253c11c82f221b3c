-- asyncpg: compute the row of a period, for one template or for all of them, and return its id.
SELECT compute_pattern_analytics($1::timestamptz, $2::timestamptz, $3::uuid);
