-- asyncpg: forget traces older than so many days, and tell how many there were.
WITH pruned AS (
    DELETE FROM pattern_learning_traces
    WHERE recorded_at < now() - make_interval(days => $1::integer)
    RETURNING 1
)

SELECT count(*) FROM pruned;
