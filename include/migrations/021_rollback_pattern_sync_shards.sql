-- 021 back: forgets the id ranges of shards, and the history of shards with them. Other runs keep theirs.

DELETE FROM pattern_sync_runs WHERE kind = 'shard';
ALTER TABLE pattern_sync_runs DROP COLUMN IF EXISTS first_id;
ALTER TABLE pattern_sync_runs DROP COLUMN IF EXISTS last_id;
ALTER TABLE pattern_sync_runs DROP CONSTRAINT IF EXISTS pattern_sync_runs_kind_check;
ALTER TABLE pattern_sync_runs ADD CONSTRAINT pattern_sync_runs_kind_check
    CHECK (kind IN ('incremental', 'full', 'interval', 'verify'));

COMMENT ON COLUMN pattern_sync_runs.kind IS 'incremental, full, interval (a backfill of past hours), or verify.';
