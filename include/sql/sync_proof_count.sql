-- How many code patterns the proof's snapshot holds, and when it began. The proof may wait for Qdrant longer than a role
-- allows an idle transaction.
WITH patient AS MATERIALIZED (
    SELECT set_config('idle_in_transaction_session_timeout', '0', TRUE) AS setting
)

SELECT
    count(*) AS patterns,
    now() AS at
FROM pattern_lineage_nodes
WHERE pattern_type = 'code' /* filter */ AND (SELECT setting FROM patient) IS NOT NULL;
