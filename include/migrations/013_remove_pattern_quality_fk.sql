-- 013: removes the foreign key from quality scores to lineage.
--
-- Most points in Qdrant never had lineage, so the key threw their scores away. Removes every foreign key on
-- pattern_quality_metrics.pattern_id, whatever its name; leaves rows alone; does nothing where the key is gone already.

DO $remove$
DECLARE
    key_name name;
BEGIN
    FOR key_name IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = 'pattern_quality_metrics'::regclass
            AND contype = 'f'
            AND conkey = ARRAY[(
                SELECT attnum FROM pg_attribute
                WHERE attrelid = 'pattern_quality_metrics'::regclass AND attname = 'pattern_id'
            )]
    LOOP
        EXECUTE format('ALTER TABLE pattern_quality_metrics DROP CONSTRAINT %I', key_name);
    END LOOP;
END
$remove$;
