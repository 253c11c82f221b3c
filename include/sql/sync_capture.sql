-- What decides whether every change of pattern_lineage_nodes is recorded: the table, its triggers and its partitions.
-- The identity changes with each of them, also when a trigger was disabled and enabled again: xmin is the transaction
-- that last wrote its row. Truncating a partition by its own name fires no trigger, but changes its relfilenode.
WITH source AS (
    SELECT oid, relkind, relpersistence, relfilenode, relowner, relrowsecurity, relforcerowsecurity
    FROM pg_class
    WHERE oid = to_regclass('pattern_lineage_nodes')
), partitions AS (
    SELECT pg_class.oid, pg_class.relkind, pg_class.relpersistence, pg_class.relfilenode
    FROM source
    CROSS JOIN LATERAL pg_partition_tree(source.oid) AS tree
    JOIN pg_class ON pg_class.oid = tree.relid
    WHERE source.relkind = 'p' AND tree.level > 0
), triggers AS (
    SELECT found.oid, found.xmin, found.tgrelid, found.tgname, found.tgfoid, found.tgtype, found.tgenabled
    FROM pg_trigger AS found
    WHERE
        found.tgrelid IN (SELECT oid FROM source UNION ALL SELECT oid FROM partitions)
        AND starts_with(found.tgname, 'zz_pattern_sync_')
), late AS (
    -- What these make of a row is not looked at any more. Partitions have copies of those of the table.
    SELECT found.tgname, found.tgrelid::regclass AS name
    FROM pg_trigger AS found
    WHERE
        found.tgrelid IN (SELECT oid FROM source UNION ALL SELECT oid FROM partitions)
        AND found.tgparentid = 0
        AND NOT found.tgisinternal
        AND found.tgenabled <> 'D'
        -- BEFORE UPDATE, for each row.
        AND found.tgtype & 83 = 19
        AND found.tgname > 'zz_pattern_sync_stamp_updated' COLLATE "C"
        AND found.tgfoid <> 'pg_catalog.suppress_redundant_updates_trigger'::regproc
), identity AS (
    SELECT 'table ' || oid AS line FROM source
    UNION ALL
    -- Truncating leaves no tombstones of rows that are hidden from the trigger, but changes relfilenode too.
    SELECT 'hidden ' || source.relfilenode
    FROM source
    JOIN triggers ON triggers.tgname = 'zz_pattern_sync_record_truncated' AND triggers.tgrelid = source.oid
    JOIN pg_proc AS routine ON routine.oid = triggers.tgfoid
    JOIN pg_roles AS reader ON reader.oid = routine.proowner
    WHERE
        source.relrowsecurity
        AND NOT (reader.rolsuper OR reader.rolbypassrls)
        AND (source.relforcerowsecurity OR NOT pg_has_role(reader.oid, source.relowner, 'USAGE'))
    UNION ALL
    SELECT 'partition ' || oid || ' ' || relfilenode FROM partitions
    UNION ALL
    SELECT 'trigger ' || oid || ' ' || xmin FROM triggers
    UNION ALL
    SELECT 'function ' || routine.oid || ' ' || routine.xmin
    FROM pg_proc AS routine
    WHERE routine.oid IN (SELECT tgfoid FROM triggers)
)

SELECT
    source.relkind::text AS kind,
    source.relpersistence = 'u' OR EXISTS (SELECT FROM partitions WHERE relpersistence = 'u') AS unlogged,
    ARRAY(
        SELECT fact
        FROM (
            /* rows */
        ) AS facts
        WHERE fact ~ '^(trigger .* zz_pattern_sync_\w+ .* ON pattern_lineage_nodes |function pattern_sync_)'
    ) AS facts,
    ARRAY(
        SELECT inhrelid::regclass::text
        FROM pg_inherits
        WHERE inhparent = source.oid AND source.relkind <> 'p'
        ORDER BY 1
    ) AS children,
    ARRAY(
        SELECT oid::regclass::text
        FROM partitions
        WHERE EXISTS (
            SELECT
            FROM triggers AS wanted
            WHERE
                wanted.tgrelid = source.oid
                AND wanted.tgtype & 1 = 1
                AND NOT EXISTS (
                    SELECT
                    FROM triggers AS clone
                    WHERE
                        clone.tgrelid = partitions.oid
                        AND clone.tgname = wanted.tgname
                        AND clone.tgfoid = wanted.tgfoid
                        AND clone.tgenabled = 'A'
                )
        )
        ORDER BY 1
    ) AS bare_partitions,
    ARRAY(SELECT oid::regclass::text FROM partitions WHERE relkind = 'f' ORDER BY 1) AS foreign_partitions,
    ARRAY(SELECT format('%I ON %s', tgname, name) FROM late ORDER BY 1) AS late_triggers,
    ARRAY(
        SELECT format('ALTER TRIGGER %I ON %s RENAME TO %I;', tgname, name, left('a_' || tgname, 63)) FROM late ORDER BY 1
    ) AS renames,
    md5((SELECT string_agg(line, ', ' ORDER BY line) FROM identity)) AS identity
FROM source;
