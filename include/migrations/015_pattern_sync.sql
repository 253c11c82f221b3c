-- 015 (in parts): what the sync to Qdrant needs: which rows changed and when, what was deleted, how far it came, what failed.
--
-- pattern_lineage_nodes gets two columns without default, so the table is not rewritten. Rows from before have NULL
-- in them and are found by the full sync only. An existing updated_at column is adopted and survives the rollback.
-- The writing transaction's id decides what is new: a timestamp or a sequence would miss rows that commit late.

-- part (each row a statement): whether the columns that exist can be used
WITH columns AS (
    SELECT
        attname AS name,
        atttypid,
        format_type(atttypid, atttypmod) AS type,
        attgenerated AS generated,
        col_description(attrelid, attnum) LIKE '%Created by migration 015.' IS TRUE AS is_ours
    FROM pg_attribute
    WHERE attrelid = to_regclass('pattern_lineage_nodes') AND attnum > 0 AND NOT attisdropped
)

SELECT
    CASE atttypid WHEN 'timestamptz'::regtype THEN 'note' ELSE 'refuse' END AS word,
    CASE atttypid
        WHEN 'timestamptz'::regtype THEN 'Column pattern_lineage_nodes.updated_at exists and is adopted.'
        ELSE format('Column pattern_lineage_nodes.updated_at has type %s where timestamp with time zone is needed. Convert it '
            'first, %s;',
            type,
            CASE atttypid
                WHEN 'timestamp'::regtype THEN 'naming the time zone its values were written in: ALTER TABLE '
                    'pattern_lineage_nodes ALTER COLUMN updated_at TYPE timestamptz USING updated_at AT TIME ZONE ''UTC'''
                ELSE 'after looking at its values: ALTER TABLE pattern_lineage_nodes ALTER COLUMN updated_at TYPE timestamptz '
                    'USING updated_at::timestamptz'
            END)
    END AS text
FROM columns
WHERE name = 'updated_at' AND NOT is_ours
UNION ALL
SELECT 'refuse', format('Column pattern_lineage_nodes.sync_xid has type %s where xid8 is needed. It is not one of this '
    'bundle''s. Give it another name: ALTER TABLE pattern_lineage_nodes RENAME COLUMN sync_xid TO sync_xid_of_before;', type)
FROM columns
WHERE name = 'sync_xid' AND atttypid <> 'xid8'::regtype
UNION ALL
-- A trigger cannot see what is generated before the row is written, nor change it.
SELECT 'refuse', format('Column pattern_lineage_nodes.%s is generated, so that no trigger can %s. Make an ordinary column of '
    'it%s, and fill it by a BEFORE trigger.', name,
    CASE WHEN name IN ('sync_xid', 'updated_at') THEN 'stamp it' ELSE 'see when it changes' END,
    CASE generated WHEN 's' THEN format(', which keeps its values (ALTER TABLE pattern_lineage_nodes ALTER COLUMN %I DROP '
        'EXPRESSION;)', name) ELSE '' END)
FROM columns
WHERE
    generated <> ''
    AND name IN ('id', 'sync_xid', 'updated_at', 'pattern_type', 'pattern_id', 'pattern_name', 'pattern_version', 'created_at',
        'file_path', 'language', 'pattern_data', 'metadata');

-- part: tables and functions
CREATE TABLE IF NOT EXISTS pattern_sync_tombstones (
    node_id uuid NOT NULL,
    sync_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    deleted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sync_xid, node_id)
);
COMMENT ON TABLE pattern_sync_tombstones IS
    'Rows that left pattern_lineage_nodes. A hint, not a verdict: the same id may have been inserted again.';
COMMENT ON COLUMN pattern_sync_tombstones.node_id IS 'Id of the row that is gone.';
COMMENT ON COLUMN pattern_sync_tombstones.sync_xid IS 'Transaction that removed it.';
COMMENT ON COLUMN pattern_sync_tombstones.deleted_at IS 'Start of that transaction.';

CREATE TABLE IF NOT EXISTS pattern_sync_pruned (
    system_identifier text PRIMARY KEY,
    sync_xid xid8 NOT NULL
);
COMMENT ON TABLE pattern_sync_pruned IS
    'How far tombstones were pruned: one row per cluster. A collection whose watermark lies before that needs a full sync.';
COMMENT ON COLUMN pattern_sync_pruned.system_identifier IS
    'The PostgreSQL cluster of the transaction id. A dump brings along the rows of others, which say nothing here.';
COMMENT ON COLUMN pattern_sync_pruned.sync_xid IS 'Tombstones of this transaction and of older ones may be gone.';

CREATE TABLE IF NOT EXISTS pattern_sync_database (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO pattern_sync_database DEFAULT VALUES ON CONFLICT DO NOTHING;
COMMENT ON TABLE pattern_sync_database IS 'Which database this is: one row. A collection in Qdrant names the database that it belongs to.';
COMMENT ON COLUMN pattern_sync_database.only_row IS 'Keeps it at one row.';
COMMENT ON COLUMN pattern_sync_database.id IS 'Made once. Every dump and copy carries it; name, cluster and address tell those apart.';

CREATE TABLE IF NOT EXISTS pattern_sync_checkpoints (
    collection text,
    target_identity text,
    system_identifier text NOT NULL,
    watermark_xid xid8,
    watermark_id uuid,
    arrived_snapshot pg_snapshot,
    arrived_in text,
    progress text,
    pending_progress text,
    witness_id uuid,
    witness_written_at timestamptz,
    capture_identity text,
    unfinished_in text,
    last_incremental_at timestamptz,
    last_full_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection, target_identity)
);
COMMENT ON TABLE pattern_sync_checkpoints IS 'Checkpoint of each collection: how far it has been synced.';
COMMENT ON COLUMN pattern_sync_checkpoints.collection IS 'Name of the Qdrant collection.';
COMMENT ON COLUMN pattern_sync_checkpoints.target_identity IS 'Which collection of that name: the identity in its metadata.';
COMMENT ON COLUMN pattern_sync_checkpoints.system_identifier IS 'Identity of the PostgreSQL cluster: after a restore elsewhere transaction ids start over.';
COMMENT ON COLUMN pattern_sync_checkpoints.watermark_xid IS 'Everything written by older transactions has arrived; NULL where everything must be compared first.';
COMMENT ON COLUMN pattern_sync_checkpoints.watermark_id IS 'Within transaction watermark_xid, everything up to this id has arrived.';
COMMENT ON COLUMN pattern_sync_checkpoints.arrived_snapshot IS
    'Everything that this snapshot shows has arrived too, also beyond the watermark: behind a transaction that was still open. No stream starts for it.';
COMMENT ON COLUMN pattern_sync_checkpoints.arrived_in IS
    'The server process and files of the database that the snapshot was taken in. In others it says nothing: transaction ids may have started over.';
COMMENT ON COLUMN pattern_sync_checkpoints.capture_identity IS
    'The table, its partitions and triggers as they were then; others need a full sync. NULL when triggers were missing.';
COMMENT ON COLUMN pattern_sync_checkpoints.progress IS 'Progress token that the collection''s metadata holds too: another one there means that one side was restored or exchanged.';
COMMENT ON COLUMN pattern_sync_checkpoints.pending_progress IS 'Token that the collection is getting: it may hold it already.';
COMMENT ON COLUMN pattern_sync_checkpoints.witness_id IS 'Point that was written last: an older snapshot of the collection does not hold it so.';
COMMENT ON COLUMN pattern_sync_checkpoints.witness_written_at IS 'Its sync_timestamp; NULL where it was deleted.';
COMMENT ON COLUMN pattern_sync_checkpoints.unfinished_in IS
    'While a run writes, and after it failed or was killed: the server process and files of the database it wrote beside. Others mean a restore.';
COMMENT ON COLUMN pattern_sync_checkpoints.last_incremental_at IS 'End of the last successful incremental run.';
COMMENT ON COLUMN pattern_sync_checkpoints.last_full_at IS 'End of the last successful full run.';
COMMENT ON COLUMN pattern_sync_checkpoints.updated_at IS 'When this row was last written.';

CREATE TABLE IF NOT EXISTS pattern_sync_dead_letters (
    collection text,
    target_identity text,
    node_id uuid,
    stage text NOT NULL CHECK (stage IN ('read', 'embed', 'write')),
    error text NOT NULL,
    attempts int NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz NOT NULL DEFAULT now() + interval '1 hour',
    PRIMARY KEY (collection, target_identity, node_id)
);
COMMENT ON TABLE pattern_sync_dead_letters IS 'Dead letters: rows that could not be synced on their own account; later runs retry them.';
COMMENT ON COLUMN pattern_sync_dead_letters.collection IS 'Name of the Qdrant collection.';
COMMENT ON COLUMN pattern_sync_dead_letters.target_identity IS 'Which collection of that name: the identity in its metadata.';
COMMENT ON COLUMN pattern_sync_dead_letters.node_id IS 'Id of the row in pattern_lineage_nodes.';
COMMENT ON COLUMN pattern_sync_dead_letters.stage IS 'Where it failed: read, embed or write.';
COMMENT ON COLUMN pattern_sync_dead_letters.error IS 'Reason of the latest failure.';
COMMENT ON COLUMN pattern_sync_dead_letters.attempts IS 'How many runs have tried it since it changed.';
COMMENT ON COLUMN pattern_sync_dead_letters.first_failed_at IS 'Time of the first failure.';
COMMENT ON COLUMN pattern_sync_dead_letters.last_failed_at IS 'Time of the latest failure.';
COMMENT ON COLUMN pattern_sync_dead_letters.next_attempt_at IS 'Hourly runs leave it alone until then; each attempt doubles the wait, up to 7 days. A change of the row, or a full sync, tries it at once.';

CREATE TABLE IF NOT EXISTS pattern_sync_digests (
    collection text,
    target_identity text,
    first_id uuid,
    rows_digest bytea NOT NULL,
    points_digest bytea NOT NULL,
    whole_at timestamptz,
    PRIMARY KEY (collection, target_identity, first_id)
);
COMMENT ON TABLE pattern_sync_digests IS
    'Digests of id ranges, a cache: a proof reads no row of a range whose rows and points still have these. Nothing is lost with it but time.';
COMMENT ON COLUMN pattern_sync_digests.collection IS 'Name of the Qdrant collection.';
COMMENT ON COLUMN pattern_sync_digests.target_identity IS 'Which collection of that name: the identity in its metadata.';
COMMENT ON COLUMN pattern_sync_digests.first_id IS 'The range begins with this id, and ends before the next one.';
COMMENT ON COLUMN pattern_sync_digests.rows_digest IS 'Digest of what the sync reads of its code patterns, as PostgreSQL computes it.';
COMMENT ON COLUMN pattern_sync_digests.points_digest IS 'Digest of the ids and hashes that their points must have; empty where no pattern can be made of a row.';
COMMENT ON COLUMN pattern_sync_digests.whole_at IS 'When all its points were last read whole and nothing was wrong.';

CREATE TABLE IF NOT EXISTS pattern_sync_backups (
    collection text,
    snapshot text,
    name text NOT NULL,
    target_identity text NOT NULL,
    progress text NOT NULL,
    points bigint NOT NULL,
    bytes bigint NOT NULL,
    checksum text,
    dag_run_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection, snapshot)
);
COMMENT ON TABLE pattern_sync_backups IS 'Snapshots in Qdrant that pattern_backup made and that still exist: only these are pruned.';
COMMENT ON COLUMN pattern_sync_backups.collection IS 'Name of the Qdrant collection.';
COMMENT ON COLUMN pattern_sync_backups.snapshot IS 'Name of the snapshot, as Qdrant gave it.';
COMMENT ON COLUMN pattern_sync_backups.name IS 'The collection as readers name it: an alias, or the collection itself.';
COMMENT ON COLUMN pattern_sync_backups.target_identity IS 'Which collection of that name: the identity in its metadata.';
COMMENT ON COLUMN pattern_sync_backups.progress IS 'Progress token that both sides held. Its number labels the snapshot and the dump.';
COMMENT ON COLUMN pattern_sync_backups.points IS 'Number of points in it.';
COMMENT ON COLUMN pattern_sync_backups.bytes IS 'Size of the file.';
COMMENT ON COLUMN pattern_sync_backups.checksum IS 'SHA-256 of the file, as Qdrant computed it; NULL where it did not.';
COMMENT ON COLUMN pattern_sync_backups.dag_run_id IS 'DAG run that made it.';
COMMENT ON COLUMN pattern_sync_backups.created_at IS 'When it was complete.';

CREATE TABLE IF NOT EXISTS pattern_sync_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    target text,
    collection text NOT NULL,
    target_identity text,
    kind text NOT NULL CHECK (kind IN ('incremental', 'full', 'interval', 'verify', 'shard', 'stream')),
    status text NOT NULL DEFAULT 'running'
        CHECK (status IN ('running', 'succeeded', 'failed', 'stopped', 'abandoned')),
    dag_id text,
    dag_run_id text,
    task_try int,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    watermark_from xid8,
    watermark_to xid8,
    examined bigint NOT NULL DEFAULT 0,
    created bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    words_only bigint NOT NULL DEFAULT 0,
    payload_only bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    parked bigint NOT NULL DEFAULT 0,
    embedded_texts bigint NOT NULL DEFAULT 0,
    embedded_characters bigint NOT NULL DEFAULT 0,
    read_seconds double precision NOT NULL DEFAULT 0,
    embed_seconds double precision NOT NULL DEFAULT 0,
    upsert_seconds double precision NOT NULL DEFAULT 0,
    prove_seconds double precision NOT NULL DEFAULT 0,
    parity text CHECK (parity IN ('proven', 'not proven', 'broken')),
    replaced text,
    latency_p50 double precision,
    latency_p99 double precision,
    error text,
    first_id uuid,
    last_id uuid
);
CREATE INDEX IF NOT EXISTS pattern_sync_runs_started_at_idx ON pattern_sync_runs (started_at);
COMMENT ON TABLE pattern_sync_runs IS 'History of the sync: one row per run.';
COMMENT ON COLUMN pattern_sync_runs.id IS 'Identity of the run.';
COMMENT ON COLUMN pattern_sync_runs.name IS 'The collection as readers name it: an alias, or the collection itself.';
COMMENT ON COLUMN pattern_sync_runs.target IS 'The target whose run it was; NULL for the target without a name.';
COMMENT ON COLUMN pattern_sync_runs.collection IS 'The collection in Qdrant that was written.';
COMMENT ON COLUMN pattern_sync_runs.target_identity IS 'Which collection of that name: the identity in its metadata.';
COMMENT ON COLUMN pattern_sync_runs.kind IS
    'incremental, full, interval (a backfill of past hours), verify, shard (one id range of a full sync), or stream.';
COMMENT ON COLUMN pattern_sync_runs.status IS 'running, succeeded, failed, stopped (by Airflow), or abandoned (its process died).';
COMMENT ON COLUMN pattern_sync_runs.dag_id IS 'Airflow DAG.';
COMMENT ON COLUMN pattern_sync_runs.dag_run_id IS 'Airflow DAG run.';
COMMENT ON COLUMN pattern_sync_runs.task_try IS 'Airflow try number of the task.';
COMMENT ON COLUMN pattern_sync_runs.started_at IS 'Start of the run.';
COMMENT ON COLUMN pattern_sync_runs.finished_at IS 'End of the run; NULL while it runs or when its process died.';
COMMENT ON COLUMN pattern_sync_runs.watermark_from IS 'Watermark at the start.';
COMMENT ON COLUMN pattern_sync_runs.watermark_to IS 'Watermark at the end.';
COMMENT ON COLUMN pattern_sync_runs.examined IS 'Rows read.';
COMMENT ON COLUMN pattern_sync_runs.created IS 'Points that were new.';
COMMENT ON COLUMN pattern_sync_runs.changed IS 'Points embedded again because their text changed.';
COMMENT ON COLUMN pattern_sync_runs.words_only IS 'Points whose words changed, and whose vector stayed.';
COMMENT ON COLUMN pattern_sync_runs.payload_only IS 'Points whose payload alone changed.';
COMMENT ON COLUMN pattern_sync_runs.unchanged IS 'Points that were up to date.';
COMMENT ON COLUMN pattern_sync_runs.deleted IS 'Points deleted.';
COMMENT ON COLUMN pattern_sync_runs.parked IS 'Rows parked as dead letters.';
COMMENT ON COLUMN pattern_sync_runs.embedded_texts IS 'Different texts sent to the embedding server.';
COMMENT ON COLUMN pattern_sync_runs.embedded_characters IS 'Characters of these texts, before a text that is too long was cut.';
COMMENT ON COLUMN pattern_sync_runs.read_seconds IS 'Seconds of waiting for changes: reading both sides and comparing them.';
COMMENT ON COLUMN pattern_sync_runs.embed_seconds IS 'Seconds that batches waited for vectors, added up; several wait at the same time.';
COMMENT ON COLUMN pattern_sync_runs.upsert_seconds IS 'Seconds that batches waited for writes to Qdrant, added up.';
COMMENT ON COLUMN pattern_sync_runs.prove_seconds IS 'Seconds of proving that both sides are equal.';
COMMENT ON COLUMN pattern_sync_runs.parity IS 'Whether both sides were proven equal: proven, not proven or broken; NULL where it was not asked.';
COMMENT ON COLUMN pattern_sync_runs.replaced IS 'The collection whose place behind the name this run took; NULL where it took none.';
COMMENT ON COLUMN pattern_sync_runs.latency_p50 IS 'Half of the changes could be found so many seconds after their commit; NULL where no stream measured it.';
COMMENT ON COLUMN pattern_sync_runs.latency_p99 IS '99 of 100 changes could be found so many seconds after their commit.';
COMMENT ON COLUMN pattern_sync_runs.error IS 'Why the run failed.';
COMMENT ON COLUMN pattern_sync_runs.first_id IS 'First id of the range of a shard; NULL for any other run.';
COMMENT ON COLUMN pattern_sync_runs.last_id IS 'Last id of that range, included.';

CREATE OR REPLACE FUNCTION pattern_sync_stamp() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
    NEW.sync_xid := pg_catalog.pg_current_xact_id();
    NEW.updated_at := pg_catalog.now();
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION pattern_sync_stamp() IS 'Mark a row as changed by this transaction.';

-- The two below write a table that whoever edits patterns needs no right to, hence SECURITY DEFINER.
CREATE OR REPLACE FUNCTION pattern_sync_record_removed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $function$
BEGIN
    INSERT INTO pattern_sync_tombstones (node_id) VALUES (OLD.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pattern_sync_record_removed() IS 'Write a tombstone for the id that a row had.';

CREATE OR REPLACE FUNCTION pattern_sync_record_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $function$
BEGIN
    INSERT INTO pattern_sync_tombstones (node_id) SELECT id FROM pattern_lineage_nodes ON CONFLICT DO NOTHING;
    -- A transaction with one snapshot truncates rows that it cannot see. Their tombstones are missing, as if pruned.
    IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        INSERT INTO pattern_sync_pruned AS already (system_identifier, sync_xid)
        SELECT system_identifier::text, pg_catalog.pg_current_xact_id() FROM pg_catalog.pg_control_system()
        ON CONFLICT (system_identifier) DO UPDATE SET sync_xid = excluded.sync_xid;
    END IF;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pattern_sync_record_truncated() IS 'Write tombstones for all rows before they go.';

REVOKE EXECUTE ON FUNCTION pattern_sync_record_removed() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pattern_sync_record_truncated() FROM PUBLIC;

DO $pin$
DECLARE
    pinned text;
BEGIN
    FOREACH pinned IN ARRAY ARRAY['pattern_sync_record_removed', 'pattern_sync_record_truncated']
    LOOP
        EXECUTE format('ALTER FUNCTION %I() SET search_path = pg_catalog, %I, pg_temp', pinned, current_schema());
    END LOOP;
END
$pin$;

-- part: columns and triggers of pattern_lineage_nodes
DO $columns$
BEGIN
    ALTER TABLE pattern_lineage_nodes ADD COLUMN IF NOT EXISTS sync_xid xid8;
    COMMENT ON COLUMN pattern_lineage_nodes.sync_xid IS
        'Transaction that last changed something the sync reads; NULL before the sync was installed.';
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'pattern_lineage_nodes'::regclass AND attname = 'updated_at' AND NOT attisdropped
    ) THEN
        ALTER TABLE pattern_lineage_nodes ADD COLUMN updated_at timestamptz;
        COMMENT ON COLUMN pattern_lineage_nodes.updated_at IS
            'When something the sync reads last changed; NULL before the sync was installed. Created by migration 015.';
    END IF;
END
$columns$;

-- Row triggers fire in the order of their names; these see what a user's own BEFORE triggers made of the row.
CREATE OR REPLACE TRIGGER zz_pattern_sync_stamp_inserted
    BEFORE INSERT ON pattern_lineage_nodes
    FOR EACH ROW EXECUTE FUNCTION pattern_sync_stamp();

-- Every update, because a user's own BEFORE trigger may change columns that SET does not name. pattern_data and metadata
-- are large, and comparing them unpacks both versions, also when a statement only counts a use. So they are compared
-- only where they may differ: a compressed document that nobody touched is passed on as it is stored, a new one comes
-- uncompressed or has another size. Asking for that unpacks nothing. sync_xid is in the list because nobody else may
-- write it: a row with a value set by hand would be skipped, or synced at the wrong time.
CREATE OR REPLACE TRIGGER zz_pattern_sync_stamp_updated
    BEFORE UPDATE ON pattern_lineage_nodes
    FOR EACH ROW
    WHEN (
        OLD.id IS DISTINCT FROM NEW.id
        OR OLD.sync_xid IS DISTINCT FROM NEW.sync_xid
        OR OLD.pattern_type IS DISTINCT FROM NEW.pattern_type
        OR OLD.pattern_id IS DISTINCT FROM NEW.pattern_id
        OR OLD.pattern_name IS DISTINCT FROM NEW.pattern_name
        OR OLD.pattern_version IS DISTINCT FROM NEW.pattern_version
        OR OLD.created_at IS DISTINCT FROM NEW.created_at
        OR OLD.file_path IS DISTINCT FROM NEW.file_path
        OR OLD.language IS DISTINCT FROM NEW.language
        OR (
            (
                pg_column_compression(OLD.pattern_data) IS NULL
                OR pg_column_compression(OLD.pattern_data) IS DISTINCT FROM pg_column_compression(NEW.pattern_data)
                OR pg_column_size(OLD.pattern_data) IS DISTINCT FROM pg_column_size(NEW.pattern_data)
            )
            AND OLD.pattern_data IS DISTINCT FROM NEW.pattern_data
        )
        OR (
            (
                pg_column_compression(OLD.metadata) IS NULL
                OR pg_column_compression(OLD.metadata) IS DISTINCT FROM pg_column_compression(NEW.metadata)
                OR pg_column_size(OLD.metadata) IS DISTINCT FROM pg_column_size(NEW.metadata)
            )
            AND OLD.metadata IS DISTINCT FROM NEW.metadata
        )
    )
    EXECUTE FUNCTION pattern_sync_stamp();

-- What the trigger above takes for untouched: a document copied from another row, as it is stored there, with the same
-- compressed size. Only the statements that name it in SET pay for the comparison. Where a user's own BEFORE trigger
-- makes such a copy, the next full sync finds it.
CREATE OR REPLACE TRIGGER zz_pattern_sync_stamp_copied
    BEFORE UPDATE OF pattern_data, metadata ON pattern_lineage_nodes
    FOR EACH ROW
    WHEN (
        (pg_column_compression(NEW.pattern_data) IS NOT NULL AND OLD.pattern_data IS DISTINCT FROM NEW.pattern_data)
        OR (pg_column_compression(NEW.metadata) IS NOT NULL AND OLD.metadata IS DISTINCT FROM NEW.metadata)
    )
    EXECUTE FUNCTION pattern_sync_stamp();

-- Per row: the deletions that logical replication applies, and those of a partition by its own name, fire no trigger
-- for each statement.
CREATE OR REPLACE TRIGGER zz_pattern_sync_record_moved
    AFTER UPDATE ON pattern_lineage_nodes
    FOR EACH ROW
    WHEN (OLD.id IS DISTINCT FROM NEW.id)
    EXECUTE FUNCTION pattern_sync_record_removed();
CREATE OR REPLACE TRIGGER zz_pattern_sync_record_deleted
    AFTER DELETE ON pattern_lineage_nodes
    FOR EACH ROW EXECUTE FUNCTION pattern_sync_record_removed();
CREATE OR REPLACE TRIGGER zz_pattern_sync_record_truncated
    BEFORE TRUNCATE ON pattern_lineage_nodes
    FOR EACH STATEMENT EXECUTE FUNCTION pattern_sync_record_truncated();

-- Also where session_replication_role is replica, as in a subscriber of logical replication.
ALTER TABLE pattern_lineage_nodes
    ENABLE ALWAYS TRIGGER zz_pattern_sync_stamp_inserted,
    ENABLE ALWAYS TRIGGER zz_pattern_sync_stamp_copied,
    ENABLE ALWAYS TRIGGER zz_pattern_sync_stamp_updated,
    ENABLE ALWAYS TRIGGER zz_pattern_sync_record_moved,
    ENABLE ALWAYS TRIGGER zz_pattern_sync_record_deleted,
    ENABLE ALWAYS TRIGGER zz_pattern_sync_record_truncated;
