-- 014 back (in parts): allows several scores per pattern again. Duplicates that 014 removed do not come back.

-- part (each row a statement): the constraint
WITH unique_key AS (
    SELECT oid, conindid
    FROM pg_constraint
    WHERE
        conrelid = to_regclass('pattern_quality_metrics')
        AND conname = 'pattern_quality_metrics_pattern_id_unique'
)

SELECT
    'refuse' AS word,
    format('Foreign key %s of table %s refers to the unique pattern_quality_metrics.pattern_id. Drop it first: ALTER TABLE %s '
        'DROP CONSTRAINT %I;', found.conname, found.conrelid::regclass, found.conrelid::regclass, found.conname) AS text
FROM unique_key
JOIN pg_constraint AS found ON found.contype = 'f' AND found.conindid = unique_key.conindid
UNION ALL
SELECT 'short', 'ALTER TABLE pattern_quality_metrics DROP CONSTRAINT pattern_quality_metrics_pattern_id_unique'
FROM unique_key;
