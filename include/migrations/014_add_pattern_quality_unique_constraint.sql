-- 014: one current score per pattern: removes duplicates, then makes pattern_quality_metrics.pattern_id unique.
--
-- Of several scores of a pattern the one with the newest measurement_timestamp stays; one without a timestamp
-- loses against any other; equal ones are decided by the greater id. Upserts rely on the constraint by its columns.
-- Leaves a constraint of that name alone, and turns a unique index of that name into the constraint.

LOCK TABLE pattern_quality_metrics IN ACCESS EXCLUSIVE MODE;

DO $unique$
DECLARE
    removed bigint;
BEGIN
    IF EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = 'pattern_quality_metrics'::regclass
            AND conname = 'pattern_quality_metrics_pattern_id_unique'
            AND pg_get_constraintdef(oid) LIKE 'UNIQUE%(pattern_id)'
    ) THEN
        RAISE NOTICE 'Constraint pattern_quality_metrics_pattern_id_unique exists already';
        RETURN;
    END IF;

    DELETE FROM pattern_quality_metrics AS score
    USING (
        SELECT id, row_number() OVER (
            PARTITION BY pattern_id ORDER BY measurement_timestamp DESC NULLS LAST, id DESC
        ) AS position
        FROM pattern_quality_metrics
    ) AS ranked
    WHERE ranked.id = score.id AND ranked.position > 1;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RAISE NOTICE '% duplicate quality scores removed', removed;

    IF EXISTS (
        SELECT FROM pg_index
        WHERE indexrelid = to_regclass('pattern_quality_metrics_pattern_id_unique')
            AND indrelid = 'pattern_quality_metrics'::regclass
            AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL
    ) THEN
        ALTER TABLE pattern_quality_metrics
            ADD CONSTRAINT pattern_quality_metrics_pattern_id_unique
            UNIQUE USING INDEX pattern_quality_metrics_pattern_id_unique;
    ELSE
        ALTER TABLE pattern_quality_metrics
            ADD CONSTRAINT pattern_quality_metrics_pattern_id_unique UNIQUE (pattern_id);
    END IF;
END
$unique$;
