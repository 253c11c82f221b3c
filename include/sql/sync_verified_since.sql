-- Since when this DAG run verifies: tries that were killed, or ended without a verdict, count with the present one. A
-- verdict ends that, so that a run which is cleared verifies everything again.
SELECT min(started_at)
FROM pattern_sync_runs AS tried
WHERE
    id = %(id)s
    OR (
        kind = 'verify'
        AND collection = %(collection)s
        AND target_identity = %(target_identity)s
        AND dag_id = %(dag_id)s
        AND dag_run_id = %(dag_run_id)s
        AND started_at > now() - interval '1 day'
        AND NOT EXISTS (
            SELECT
            FROM pattern_sync_runs AS later
            WHERE
                later.kind = 'verify'
                AND later.collection = tried.collection
                AND later.target_identity = tried.target_identity
                AND later.dag_id = tried.dag_id
                AND later.dag_run_id = tried.dag_run_id
                AND later.started_at >= tried.started_at
                AND later.parity IN ('proven', 'broken')
        )
    );
