-- Open a run in the history.
INSERT INTO pattern_quality_runs (id, version, collections, dag_id, dag_run_id, task_try)
VALUES (%(id)s, %(version)s, %(collections)s, %(dag_id)s, %(dag_run_id)s, %(task_try)s);
