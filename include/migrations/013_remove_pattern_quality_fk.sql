-- 013 (in parts): removes the foreign key from quality scores to lineage.
--
-- Most points in Qdrant never had lineage, so the key threw their scores away. Removes every foreign key on
-- pattern_quality_metrics.pattern_id, whatever its name; leaves rows alone; does nothing where the key is gone already.

-- part (each row a statement): the key
SELECT
    'short' AS word,
    format('ALTER TABLE pattern_quality_metrics DROP CONSTRAINT %I', conname) AS text
FROM pg_constraint
WHERE
    conrelid = to_regclass('pattern_quality_metrics')
    AND contype = 'f'
    AND conkey = ARRAY(
        SELECT attnum FROM pg_attribute WHERE attrelid = conrelid AND attname = 'pattern_id'
    );
