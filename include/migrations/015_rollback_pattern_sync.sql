-- 015 back (in parts): removes the sync's triggers, columns and tables.
--
-- Lost with it: the checkpoints, the run history, the dead letters, and which database this is. After going up again
-- it counts as another database: run pattern_sync_full once with take_over, which compares everything. A column
-- updated_at that existed before migration 015 stays. Patterns and Qdrant are not touched.

-- part (each row a statement): whatever depends on the columns
SELECT
    'refuse' AS word,
    format('%s depends on pattern_lineage_nodes.%s, which goes. Drop it first.',
        CASE WHEN viewing.oid IS NULL THEN pg_describe_object(found.classid, found.objid, found.objsubid)
            ELSE CASE viewing.relkind WHEN 'v' THEN 'View ' WHEN 'm' THEN 'Materialized view ' ELSE 'A rule on table ' END
                || viewing.oid::regclass
        END, attname) AS text
FROM pg_attribute
JOIN pg_depend AS found
    ON found.refclassid = 'pg_class'::regclass AND found.refobjid = attrelid AND found.refobjsubid = attnum
LEFT JOIN pg_rewrite AS rule ON found.classid = 'pg_rewrite'::regclass AND rule.oid = found.objid
LEFT JOIN pg_class AS viewing ON viewing.oid = rule.ev_class
WHERE
    attrelid = to_regclass('pattern_lineage_nodes')
    AND NOT attisdropped
    AND (
        attname = 'sync_xid'
        OR attname = 'updated_at' AND col_description(attrelid, attnum) LIKE '%Created by migration 015.'
    )
    -- Indexes go with the column, and the triggers of the sync before it.
    AND NOT (found.classid = 'pg_class'::regclass AND found.deptype = 'a')
    AND NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE found.classid = 'pg_trigger'::regclass AND pg_trigger.oid = found.objid AND starts_with(tgname, 'zz_pattern_sync_')
    );

-- part (each row a statement): whatever depends on the tables
WITH own (classid, oid, name) AS (
    SELECT depended.classid, depended.oid, CASE relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || relname
    FROM pg_class
    CROSS JOIN LATERAL (VALUES ('pg_class'::regclass, pg_class.oid), ('pg_type', reltype)) AS depended (classid, oid)
    WHERE pg_class.oid IN (
        to_regclass('pattern_sync_runs'), to_regclass('pattern_sync_backups'),
        to_regclass('pattern_sync_digests'), to_regclass('pattern_sync_dead_letters'),
        to_regclass('pattern_sync_checkpoints'), to_regclass('pattern_sync_pruned'),
        to_regclass('pattern_sync_database'), to_regclass('pattern_sync_tombstones')
    )
)

SELECT
    'refuse' AS word,
    format('%s depends on %s, which goes. Drop it first.',
        CASE WHEN viewing.oid IS NULL THEN pg_describe_object(found.classid, found.objid, found.objsubid)
            ELSE CASE viewing.relkind WHEN 'v' THEN 'View ' WHEN 'm' THEN 'Materialized view ' ELSE 'A rule on table ' END
                || viewing.oid::regclass
        END, own.name) AS text
FROM own
JOIN pg_depend AS found ON found.refclassid = own.classid AND found.refobjid = own.oid AND found.deptype = 'n'
LEFT JOIN pg_rewrite AS rule ON found.classid = 'pg_rewrite'::regclass AND rule.oid = found.objid
LEFT JOIN pg_class AS viewing ON viewing.oid = rule.ev_class
-- What is part of one of them goes with it.
WHERE NOT EXISTS (
    SELECT
    FROM own AS whole
    JOIN pg_depend AS belongs ON belongs.refclassid = whole.classid AND belongs.refobjid = whole.oid
    WHERE belongs.classid = found.classid AND belongs.objid = found.objid AND belongs.deptype IN ('a', 'i')
);

-- part: triggers, columns and tables
DROP TRIGGER IF EXISTS zz_pattern_sync_stamp_inserted ON pattern_lineage_nodes;
DROP TRIGGER IF EXISTS zz_pattern_sync_stamp_copied ON pattern_lineage_nodes;
DROP TRIGGER IF EXISTS zz_pattern_sync_stamp_updated ON pattern_lineage_nodes;
DROP TRIGGER IF EXISTS zz_pattern_sync_record_moved ON pattern_lineage_nodes;
DROP TRIGGER IF EXISTS zz_pattern_sync_record_deleted ON pattern_lineage_nodes;
DROP TRIGGER IF EXISTS zz_pattern_sync_record_truncated ON pattern_lineage_nodes;
DROP FUNCTION IF EXISTS pattern_sync_stamp();
DROP FUNCTION IF EXISTS pattern_sync_record_removed();
DROP FUNCTION IF EXISTS pattern_sync_record_truncated();

DO $columns$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'pattern_lineage_nodes'::regclass
            AND attname = 'updated_at'
            AND NOT attisdropped
            AND col_description(attrelid, attnum) LIKE '%Created by migration 015.'
    ) THEN
        ALTER TABLE pattern_lineage_nodes DROP COLUMN updated_at;
    ELSE
        RAISE NOTICE 'Column pattern_lineage_nodes.updated_at stays: it existed before migration 015';
    END IF;
END
$columns$;
ALTER TABLE pattern_lineage_nodes DROP COLUMN IF EXISTS sync_xid;

DROP TABLE IF EXISTS pattern_sync_runs;
DROP TABLE IF EXISTS pattern_sync_backups;
DROP TABLE IF EXISTS pattern_sync_digests;
DROP TABLE IF EXISTS pattern_sync_dead_letters;
DROP TABLE IF EXISTS pattern_sync_checkpoints;
DROP TABLE IF EXISTS pattern_sync_pruned;
DROP TABLE IF EXISTS pattern_sync_database;
DROP TABLE IF EXISTS pattern_sync_tombstones;
