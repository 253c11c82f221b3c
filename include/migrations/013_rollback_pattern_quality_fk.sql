-- 013 back: restores the foreign key from quality scores to lineage.
--
-- Stops while scores without lineage exist, says how many and how to find them, and changes nothing: whether to
-- delete them or to record their lineage is not for a migration to decide.

LOCK TABLE pattern_lineage_nodes, pattern_quality_metrics IN SHARE ROW EXCLUSIVE MODE;

DO $restore$
DECLARE
    orphans bigint;
    patterns bigint;
BEGIN
    SELECT count(*), count(DISTINCT score.pattern_id) INTO orphans, patterns
    FROM pattern_quality_metrics AS score
    WHERE NOT EXISTS (SELECT FROM pattern_lineage_nodes AS node WHERE node.id = score.pattern_id);
    IF orphans > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
            MESSAGE = format('%s quality scores of %s patterns have no row in pattern_lineage_nodes, so the foreign key '
                'pattern_quality_metrics_pattern_id_fkey cannot be restored.', orphans, patterns),
            HINT = 'Record their lineage, or back them up and delete them, then roll back again. They are: '
                'SELECT score.* FROM pattern_quality_metrics AS score WHERE NOT EXISTS '
                '(SELECT FROM pattern_lineage_nodes AS node WHERE node.id = score.pattern_id);';
    END IF;
    IF 'pattern_lineage_nodes'::regclass IN (SELECT partrelid FROM pg_partitioned_table) THEN
        RAISE NOTICE 'The foreign key is not restored: pattern_lineage_nodes is partitioned';
    ELSIF NOT EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = 'pattern_quality_metrics'::regclass AND conname = 'pattern_quality_metrics_pattern_id_fkey'
    ) THEN
        ALTER TABLE pattern_quality_metrics
            ADD CONSTRAINT pattern_quality_metrics_pattern_id_fkey
            FOREIGN KEY (pattern_id) REFERENCES pattern_lineage_nodes (id) ON DELETE CASCADE;
    END IF;
END
$restore$;
