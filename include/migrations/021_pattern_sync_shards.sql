-- 021: lets the history of the sync tell the shards of a full sync: a kind of their own, and the id range of each.
--
-- Rows of earlier runs stay as they are: they were for no range, so theirs is NULL.

ALTER TABLE pattern_sync_runs DROP CONSTRAINT IF EXISTS pattern_sync_runs_kind_check;
ALTER TABLE pattern_sync_runs ADD CONSTRAINT pattern_sync_runs_kind_check
    CHECK (kind IN ('incremental', 'full', 'interval', 'verify', 'shard'));
ALTER TABLE pattern_sync_runs ADD COLUMN IF NOT EXISTS first_id uuid;
ALTER TABLE pattern_sync_runs ADD COLUMN IF NOT EXISTS last_id uuid;

COMMENT ON COLUMN pattern_sync_runs.kind IS
    'incremental, full, interval (a backfill of past hours), verify, or shard (one id range of a full sync).';
COMMENT ON COLUMN pattern_sync_runs.first_id IS 'First id of the range that a shard looked at; NULL for any other run.';
COMMENT ON COLUMN pattern_sync_runs.last_id IS 'Last id of that range, included.';
