-- When the runs of a collection last worked on it, by the history; whether a shard did so within so many days, and whether a
-- run for the collection's own name did so within the days that it is kept. NULL where the history has none.
SELECT
    max(coalesce(finished_at, started_at)) < now() - make_interval(days => %(days)s) AS left_alone,
    coalesce(
        bool_or(kind = 'shard' AND coalesce(finished_at, started_at) >= now() - make_interval(days => %(days)s)), false
    ) AS shared,
    coalesce(
        bool_or(name = collection AND coalesce(finished_at, started_at) >= now() - make_interval(days => %(kept_days)s)), false
    ) AS named
FROM pattern_sync_runs
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
