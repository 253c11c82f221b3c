-- When the runs of a collection last worked on it, by the history; and whether a shard did so within so many days. NULL where
-- the history has none.
SELECT
    max(coalesce(finished_at, started_at)) < now() - make_interval(days => %(days)s) AS left_alone,
    coalesce(
        bool_or(kind = 'shard' AND coalesce(finished_at, started_at) >= now() - make_interval(days => %(days)s)), false
    ) AS shared
FROM pattern_sync_runs
WHERE
    collection = %(collection)s
    AND target_identity = %(target_identity)s;
