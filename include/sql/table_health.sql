-- How much room tables and their indexes take, and how much of it no row needs, as PostgreSQL's statistics tell; and indexes
-- that are not valid. Names of the tables are the parameter. Space is NULL where there are no statistics, for indexes of
-- other kinds than btree, and for those over expressions.
WITH ours AS (
    SELECT
        class.oid,
        class.relname,
        class.reltuples AS row_count,
        pg_relation_size(class.oid) AS bytes,
        coalesce(stat.n_dead_tup, 0) AS dead_rows,
        coalesce(
            (SELECT option_value::int FROM pg_options_to_table(class.reloptions) WHERE option_name = 'fillfactor'), 100
        ) AS fill
    FROM pg_class AS class
    LEFT JOIN pg_stat_user_tables AS stat ON stat.relid = class.oid
    WHERE
        class.relnamespace = quote_ident(current_schema())::regnamespace
        AND class.relname = ANY (%(relations)s::text[])
        AND class.relkind = 'r'
),

widths AS (
    SELECT
        ours.oid,
        attribute.attnum,
        (1 - stats.null_frac) * stats.avg_width AS width
    FROM ours
    JOIN pg_attribute AS attribute ON attribute.attrelid = ours.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
    LEFT JOIN pg_stats AS stats
        ON
            stats.schemaname = current_schema()
            AND stats.tablename = ours.relname
            AND stats.attname = attribute.attname
            AND NOT stats.inherited
),

rooms AS (
    SELECT
        oid,
        -- Header and line pointer of a row, its columns, and what aligns it.
        CASE WHEN count(width) = count(*) THEN 28 + sum(width) + 8 END AS bytes_per_row
    FROM widths
    GROUP BY oid
),

entries AS (
    SELECT
        ours.oid AS table_oid,
        ours.relname AS table_name,
        found.indexrelid,
        name.relname AS index_name,
        name.reltuples AS row_count,
        found.indisvalid AS is_valid,
        pg_relation_size(found.indexrelid) AS bytes,
        CASE
            WHEN access.amname = 'btree' AND NOT 0 = ANY (found.indkey)
                THEN (
                    -- Header and line pointer of an entry, its keys, and what aligns it.
                    SELECT CASE WHEN count(widths.width) = count(*) THEN 12 + sum(widths.width) + 8 END
                    FROM unnest(found.indkey::int2[]) AS key (attnum)
                    LEFT JOIN widths ON widths.oid = ours.oid AND widths.attnum = key.attnum
                )
        END AS bytes_per_entry
    FROM ours
    JOIN pg_index AS found ON found.indrelid = ours.oid
    JOIN pg_class AS name ON name.oid = found.indexrelid
    JOIN pg_am AS access ON access.oid = name.relam
)

SELECT
    'table' AS kind,
    ours.oid::regclass::text AS name,
    ours.relname,
    ours.bytes,
    CASE
        WHEN ours.row_count >= 0
            THEN greatest(ours.bytes - ceil(ours.row_count * rooms.bytes_per_row / 8168 * 100 / ours.fill) * 8192, 0)
    END::bigint AS unused,
    ours.dead_rows,
    greatest(ours.row_count, 0)::bigint AS row_count,
    true AS is_valid
FROM ours
LEFT JOIN rooms USING (oid)
UNION ALL
SELECT
    'index',
    entries.indexrelid::regclass::text,
    entries.index_name,
    entries.bytes,
    CASE
        WHEN entries.row_count >= 0
            -- The build of an index fills its pages to nine tenths.
            THEN greatest(entries.bytes - (ceil(entries.row_count * entries.bytes_per_entry / 8152 / 0.9) + 2) * 8192, 0)
    END::bigint,
    0,
    greatest(entries.row_count, 0)::bigint,
    entries.is_valid
FROM entries
ORDER BY 1 DESC, 2;
