-- Open a run in the history.
INSERT INTO pattern_sync_runs (
    id, name, collection, kind, dag_id, dag_run_id, task_try, watermark_from, first_id, last_id
)
VALUES (
    %(id)s, %(name)s, %(collection)s, %(kind)s, %(dag_id)s, %(dag_run_id)s, %(task_try)s,
    %(watermark_from)s::text::xid8, %(first_id)s, %(last_id)s
);
