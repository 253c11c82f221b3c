SELECT
    node_id,
    error
FROM pattern_sync_dead_letters;
