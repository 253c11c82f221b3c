-- Open a run in the history.
INSERT INTO pattern_sync_runs (
    id, name, collection, kind, dag_id, dag_run_id, task_try, watermark_from
)
VALUES (
    %(id)s, %(name)s, %(collection)s, %(kind)s, %(dag_id)s, %(dag_run_id)s, %(task_try)s,
    %(watermark_from)s::text::xid8
);
