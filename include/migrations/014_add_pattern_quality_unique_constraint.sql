-- 014 (in parts): one current score per pattern: removes duplicates, then makes pattern_quality_metrics.pattern_id unique.
--
-- Of several scores of a pattern the one with the newest measurement_timestamp stays; one without a timestamp
-- loses against any other; equal ones are decided by the greater id. Upserts rely on the constraint by its columns.
-- Leaves a unique constraint of the column alone, whatever its name, and turns a unique index of the name into the
-- constraint. Duplicates go in pages of 5,000, each a transaction: what is done stays done if the run is interrupted.
-- Duplicates that others write meanwhile are removed by the next run.

-- part (each row a statement): what forbids it, and an index by which duplicates are found
WITH scores AS (
    SELECT oid, pg_relation_size(oid) > 8 * 1024 * 1024 AS is_large
    FROM pg_class
    WHERE
        oid = to_regclass('pattern_quality_metrics')
        AND NOT EXISTS (
            SELECT FROM pg_constraint
            WHERE conrelid = pg_class.oid AND contype = 'u' AND pg_get_constraintdef(oid) ~ '^UNIQUE.*\(pattern_id\)$'
        )
), duplicated (query) AS (VALUES (
    'EXISTS (SELECT FROM pattern_quality_metrics GROUP BY pattern_id HAVING count(*) > 1)'
))

-- The rows that refer to a duplicate would go with it, or forbid it to go.
SELECT
    'check' AS word,
    format($check$SELECT format('Rows of %s refer to quality scores that are duplicates, by the foreign key %s. Let them refer to the '
        'score that stays: %%s', $refer$UPDATE %s AS child SET %I = kept.id FROM pattern_quality_metrics AS old CROSS JOIN LATERAL (SELECT id FROM pattern_quality_metrics AS other WHERE other.pattern_id = old.pattern_id ORDER BY measurement_timestamp DESC NULLS LAST, id DESC LIMIT 1) AS kept WHERE old.id = child.%I AND kept.id <> old.id;$refer$)
    WHERE EXISTS (
        SELECT FROM %s AS child
        JOIN pattern_quality_metrics AS old ON old.id = child.%I
        JOIN pattern_quality_metrics AS other ON other.pattern_id = old.pattern_id AND other.id <> old.id
        WHERE (other.measurement_timestamp IS NOT NULL, coalesce(other.measurement_timestamp, '-infinity'), other.id)
            > (old.measurement_timestamp IS NOT NULL, coalesce(old.measurement_timestamp, '-infinity'), old.id)
    )$check$, child.table_name, child.name, child.table_name, child.column_name, child.column_name, child.table_name, child.column_name) AS text
FROM scores
CROSS JOIN LATERAL (
    SELECT conrelid::regclass AS table_name, conname AS name, attname AS column_name
    FROM pg_constraint
    JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
    WHERE
        contype = 'f' AND confrelid = scores.oid AND cardinality(conkey) = 1
        AND confkey = ARRAY(SELECT attnum FROM pg_attribute WHERE attrelid = scores.oid AND attname = 'id')
) AS child
UNION ALL
SELECT 'check', format('SELECT %L WHERE %s', format(
    'Rule %s of table pattern_quality_metrics decides what a DELETE does, so duplicates cannot be removed. Switch it off '
    'for the migration: ALTER TABLE pattern_quality_metrics DISABLE RULE %I;', rulename, rulename), duplicated.query)
FROM scores
CROSS JOIN duplicated
JOIN pg_rewrite ON ev_class = scores.oid AND ev_type = '4' AND is_instead AND ev_enabled <> 'D'
UNION ALL
SELECT 'refuse', 'pattern_quality_metrics_pattern_id_unique exists and is not the unique index on pattern_quality_metrics '
    '(pattern_id). Give it another name: ALTER INDEX pattern_quality_metrics_pattern_id_unique RENAME TO '
    'pattern_quality_metrics_pattern_id_unique_of_before;'
FROM scores
JOIN pg_class AS taken ON taken.oid = to_regclass('pattern_quality_metrics_pattern_id_unique')
LEFT JOIN pg_index ON indexrelid = taken.oid AND indrelid = scores.oid AND indisunique
WHERE
    pg_get_indexdef(indexrelid, 0, true) LIKE '% USING btree (pattern_id)' IS NOT TRUE
    OR EXISTS (SELECT FROM pg_constraint WHERE conindid = taken.oid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'long', 'DROP INDEX CONCURRENTLY ' || indexrelid::regclass
FROM scores
JOIN pg_index ON indrelid = scores.oid AND NOT indisvalid
WHERE indexrelid IN (
    to_regclass('pattern_quality_metrics_duplicates_idx'), to_regclass('pattern_quality_metrics_pattern_id_unique')
)
UNION ALL
SELECT 'long', 'CREATE INDEX CONCURRENTLY IF NOT EXISTS pattern_quality_metrics_duplicates_idx ON pattern_quality_metrics '
    '(pattern_id, measurement_timestamp DESC NULLS LAST, id DESC)'
FROM scores
WHERE is_large;

-- part (long): duplicates
DO $duplicates$
DECLARE
    last uuid := '00000000-0000-0000-0000-000000000000';
    next uuid;
    doubled uuid[];
    looked bigint;
    gone bigint;
    removed bigint := 0;
BEGIN
    IF EXISTS (
        SELECT FROM pg_constraint
        WHERE
            conrelid = 'pattern_quality_metrics'::regclass AND contype = 'u'
            AND pg_get_constraintdef(oid) ~ '^UNIQUE.*\(pattern_id\)$'
    ) THEN
        RAISE NOTICE 'pattern_quality_metrics.pattern_id is unique already';
        RETURN;
    END IF;
    LOOP
        -- A page begins with the last pattern of the page before it, whose first row is the one that stays.
        SELECT
            count(*),
            array_agg(id) FILTER (WHERE position > 1),
            (array_agg(pattern_id ORDER BY pattern_id DESC))[1]
        INTO looked, doubled, next
        FROM (
            SELECT id, pattern_id, row_number() OVER (
                PARTITION BY pattern_id ORDER BY measurement_timestamp DESC NULLS LAST, id DESC
            ) AS position
            FROM (
                SELECT id, pattern_id, measurement_timestamp
                FROM pattern_quality_metrics
                WHERE pattern_id >= last
                ORDER BY pattern_id, measurement_timestamp DESC NULLS LAST, id DESC
                LIMIT 5000
            ) AS rows
        ) AS page;
        -- A statement of its own: in a WITH, PostgreSQL refuses it where somebody's rule does something beside.
        DELETE FROM pattern_quality_metrics WHERE id = ANY (doubled);
        GET DIAGNOSTICS gone = ROW_COUNT;
        COMMIT;
        removed := removed + gone;
        IF gone > 0 AND removed / 500000 > (removed - gone) / 500000 THEN
            RAISE NOTICE '% duplicate quality scores removed so far', removed;
        END IF;
        EXIT WHEN looked < 5000;
        IF next = last AND gone = 0 THEN
            RAISE EXCEPTION USING ERRCODE = 'triggered_action_exception',
                MESSAGE = format('Scores of pattern %s cannot be deleted.', last),
                HINT = 'A trigger or rule of pattern_quality_metrics keeps them. Switch it off for the migration.';
        END IF;
        last := next;
    END LOOP;
    RAISE NOTICE '% duplicate quality scores removed', removed;
END
$duplicates$;

-- part (each row a statement): the constraint
WITH scores AS (
    SELECT oid, pg_relation_size(oid) > 0 AS is_filled, indexrelid, indisvalid
    FROM pg_class
    LEFT JOIN pg_index
        ON indexrelid = to_regclass('pattern_quality_metrics_pattern_id_unique') AND indrelid = oid
            AND indisunique AND indpred IS NULL AND indexprs IS NULL
    WHERE
        oid = to_regclass('pattern_quality_metrics')
        AND NOT EXISTS (
            SELECT FROM pg_constraint
            WHERE conrelid = pg_class.oid AND contype = 'u' AND pg_get_constraintdef(oid) ~ '^UNIQUE.*\(pattern_id\)$'
        )
)

SELECT
    'long' AS word,
    'CREATE UNIQUE INDEX CONCURRENTLY pattern_quality_metrics_pattern_id_unique ON pattern_quality_metrics (pattern_id)' AS text
FROM scores
WHERE indexrelid IS NULL AND is_filled
UNION ALL
SELECT 'short', 'ALTER TABLE pattern_quality_metrics ADD CONSTRAINT pattern_quality_metrics_pattern_id_unique '
    || CASE WHEN indexrelid IS NULL AND NOT is_filled
        THEN 'UNIQUE (pattern_id)' ELSE 'UNIQUE USING INDEX pattern_quality_metrics_pattern_id_unique' END
FROM scores;

-- part (long): the index by which duplicates were found
DROP INDEX CONCURRENTLY IF EXISTS pattern_quality_metrics_duplicates_idx;
