-- How many code patterns each id range of one snapshot holds, and a digest of them: that of their digests, in id order.
DECLARE digests NO SCROLL CURSOR FOR
SELECT
    part.first_id,
    found.patterns,
    found.digest
FROM (
    SELECT
        first_id,
        last_id
    FROM unnest(%(first_ids)s::uuid [], %(last_ids)s::uuid []) AS given (first_id, last_id)
    ORDER BY first_id
) AS part
CROSS JOIN LATERAL (
    SELECT
        count(*) AS patterns,
        sha256(coalesce(string_agg(/* digest */, ''::bytea ORDER BY id), ''::bytea)) AS digest
    FROM pattern_lineage_nodes
    WHERE pattern_type = 'code' AND id BETWEEN part.first_id AND part.last_id /* filter */
) AS found;
