-- What a database has of this project's tables, what kind of thing pattern_lineage_nodes is, and whether row-level
-- security may hide rows of it from this login.
SELECT
    (SELECT relkind::text FROM pg_class WHERE oid = to_regclass('pattern_lineage_nodes')),
    ARRAY(
        SELECT given.name
        FROM unnest(%(names)s::text[]) WITH ORDINALITY AS given (name, place)
        WHERE to_regclass(given.name) IS NOT NULL
        ORDER BY given.place
    ),
    coalesce(row_security_active(to_regclass('pattern_lineage_nodes')), false);
