-- Delete dead letters that failed last so many days ago and whose row is gone or no longer code: there is nothing to sync.
WITH pruned AS (
    DELETE FROM pattern_sync_dead_letters AS letter
    WHERE
        letter.last_failed_at < now() - make_interval(days => %(days)s)
        AND NOT EXISTS (
            SELECT 1
            FROM pattern_lineage_nodes AS node
            WHERE
                node.id = letter.node_id
                AND node.pattern_type = 'code'
        )
    RETURNING 1
)

SELECT count(*) FROM pruned;
