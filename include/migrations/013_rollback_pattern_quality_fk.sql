-- 013 back (in parts): restores the foreign key from quality scores to lineage.
--
-- Refused while scores without lineage exist; it says how many and how to find them, and changes nothing: whether to
-- delete them or to record their lineage is not for a migration to decide.

-- part (each row a statement): the key
WITH tables AS (
    SELECT
        scores.oid,
        lineage.relkind AS kind,
        present.convalidated AS is_validated
    FROM pg_class AS scores
    JOIN pg_class AS lineage ON lineage.oid = to_regclass('pattern_lineage_nodes')
    LEFT JOIN pg_constraint AS present
        ON present.conrelid = scores.oid AND present.conname = 'pattern_quality_metrics_pattern_id_fkey'
    WHERE scores.oid = to_regclass('pattern_quality_metrics')
)

SELECT
    'check' AS word,
    $check$SELECT format('%s quality scores of %s patterns have no row in pattern_lineage_nodes, so the foreign key '
        'pattern_quality_metrics_pattern_id_fkey cannot be restored. Record their lineage, or back them up and delete them. '
        'They are: SELECT score.* FROM pattern_quality_metrics AS score WHERE NOT EXISTS '
        '(SELECT FROM pattern_lineage_nodes AS node WHERE node.id = score.pattern_id);', count(*), count(DISTINCT score.pattern_id))
    FROM pattern_quality_metrics AS score
    WHERE NOT EXISTS (SELECT FROM pattern_lineage_nodes AS node WHERE node.id = score.pattern_id)
    HAVING count(*) > 0$check$ AS text
FROM tables
WHERE is_validated IS NOT TRUE
UNION ALL
SELECT 'note', 'The foreign key is not restored: pattern_lineage_nodes is partitioned.'
FROM tables
WHERE kind = 'p'
UNION ALL
-- New rows are checked from then on; those that exist are looked through afterwards.
SELECT 'short', 'ALTER TABLE pattern_quality_metrics ADD CONSTRAINT pattern_quality_metrics_pattern_id_fkey '
    'FOREIGN KEY (pattern_id) REFERENCES pattern_lineage_nodes (id) ON DELETE CASCADE NOT VALID'
FROM tables
WHERE kind <> 'p' AND is_validated IS NULL
UNION ALL
SELECT 'long', 'ALTER TABLE pattern_quality_metrics VALIDATE CONSTRAINT pattern_quality_metrics_pattern_id_fkey'
FROM tables
WHERE kind <> 'p' AND is_validated IS NOT TRUE;
