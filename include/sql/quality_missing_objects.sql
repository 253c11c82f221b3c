-- What storing scores needs and this database lacks, in words.
SELECT needed.what AS missing
FROM
    (VALUES
        (1, 'the table pattern_quality_metrics', to_regclass('pattern_quality_metrics') IS NULL),
        (2, 'the table pattern_quality_runs', to_regclass('pattern_quality_runs') IS NULL),
        (
            3,
            'a unique constraint on pattern_quality_metrics.pattern_id (migration 014)',
            to_regclass('pattern_quality_metrics') IS NOT NULL
            AND NOT EXISTS (
                SELECT 1
                FROM pg_index
                WHERE
                    indrelid = to_regclass('pattern_quality_metrics')
                    AND indisunique
                    AND indisvalid
                    AND indpred IS NULL
                    AND indnkeyatts = 1
                    AND indkey[0] = (
                        SELECT attnum
                        FROM pg_attribute
                        WHERE attrelid = to_regclass('pattern_quality_metrics') AND attname = 'pattern_id'
                    )
            )
        ),
        (
            4,
            'migration 013 (a foreign key still refuses scores of patterns without lineage)',
            EXISTS (
                SELECT 1
                FROM pg_constraint
                WHERE
                    conrelid = to_regclass('pattern_quality_metrics')
                    AND contype = 'f'
                    AND confrelid = to_regclass('pattern_lineage_nodes')
            )
        )) AS needed (position, what, is_missing)
WHERE needed.is_missing
ORDER BY needed.position;
