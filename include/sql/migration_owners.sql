-- What migrations change and another role owns: kind and name of each, its owner, and whether that is a superuser. Names of
-- tables, views and functions are the parameters; partitions of a table count with it. What others have under these names and keep is left out.
SELECT
    CASE WHEN changed.relkind = 'v' THEN 'view ' ELSE 'table ' END || changed.oid::regclass AS name,
    pg_get_userbyid(changed.relowner) AS owner,
    (SELECT rolsuper FROM pg_roles WHERE oid = changed.relowner) AS is_superuser
FROM pg_class AS relation
CROSS JOIN LATERAL (
    SELECT relation.oid
    UNION
    SELECT relid FROM pg_partition_tree(relation.oid)
) AS tree (oid)
JOIN pg_class AS changed ON changed.oid = tree.oid
WHERE
    relation.relnamespace = quote_ident(current_schema())::regnamespace
    AND relation.relname = ANY (%(relations)s::text[])
    AND relation.relkind IN ('r', 'p', 'v')
    AND NOT pg_has_role(changed.relowner, 'USAGE')
    AND (relation.relkind <> 'v' OR obj_description(relation.oid, 'pg_class') LIKE '%%Created by migration ___.')
    AND (
        relation.relname <> 'pattern_relationships'
        OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = relation.oid AND attname = 'strength' AND NOT attisdropped)
    )
UNION ALL
SELECT
    'function ' || routine.oid::regprocedure,
    pg_get_userbyid(routine.proowner),
    (SELECT rolsuper FROM pg_roles WHERE oid = routine.proowner)
FROM pg_proc AS routine
WHERE
    routine.pronamespace = quote_ident(current_schema())::regnamespace
    AND routine.proname = ANY (%(functions)s::text[])
    AND (
        routine.proname NOT IN ('update_pattern_stats', 'compute_pattern_analytics')
        OR routine.oid IN (
            to_regprocedure('update_pattern_stats(uuid)'),
            to_regprocedure('compute_pattern_analytics(timestamptz, timestamptz, uuid)')
        )
    )
    AND NOT pg_has_role(routine.proowner, 'USAGE')
ORDER BY 1;
