-- 015 back (in parts): removes the sync's triggers, columns and tables.
--
-- Lost with it: the checkpoints, the run history, the dead letters, and which database this is. After going up again
-- it counts as another database: run pattern_sync_full once with take_over, which compares everything. A column
-- updated_at that existed before migration 015 stays. Patterns and Qdrant are not touched.

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

ALTER TABLE pattern_lineage_nodes DROP COLUMN IF EXISTS sync_xid;

DROP TABLE IF EXISTS pattern_sync_runs;
DROP TABLE IF EXISTS pattern_sync_backups;
DROP TABLE IF EXISTS pattern_sync_digests;
DROP TABLE IF EXISTS pattern_sync_dead_letters;
DROP TABLE IF EXISTS pattern_sync_checkpoints;
DROP TABLE IF EXISTS pattern_sync_pruned;
DROP TABLE IF EXISTS pattern_sync_database;
DROP TABLE IF EXISTS pattern_sync_tombstones;

-- part (each row a statement): the column updated_at
SELECT
    'short' AS word,
    'ALTER TABLE pattern_lineage_nodes DROP COLUMN updated_at' AS text
FROM pg_attribute
WHERE
    attrelid = to_regclass('pattern_lineage_nodes')
    AND attname = 'updated_at'
    AND NOT attisdropped
    AND col_description(attrelid, attnum) LIKE '%Created by migration 015.'
UNION ALL
SELECT 'note', 'Column pattern_lineage_nodes.updated_at stays: it existed before migration 015.'
FROM pg_attribute
WHERE
    attrelid = to_regclass('pattern_lineage_nodes')
    AND attname = 'updated_at'
    AND NOT attisdropped
    AND col_description(attrelid, attnum) LIKE '%Created by migration 015.' IS NOT TRUE;
