"""Airflow's processes in short, for tests: one long-lived parent that forks a child for every piece of work.

So do the DAG processor, for every file it parses, and the local executor, for every task. Each line of standard input
is a piece of work in JSON; its result is a line of standard output that begins with ``RESULT``.
"""

import asyncio
import importlib
import json
import os
import sys
import traceback
from typing import Any

OF_AIRFLOW = (
    "airflow.api_fastapi.execution_api.app",
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.dagbag",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
)
"""What its processes have imported before they fork; nothing of a bundle."""
OF_OTHERS = ("airflow.providers.postgres.hooks.postgres", "asyncpg", "numpy", "psycopg", "qdrant_client")
"""What the bundle imports of others. The parent imports it too: its children would each pay for it."""


def parse(bundle_name: str) -> dict[str, Any]:
    """Do what the DAG processor does: take the bundle's newest version, parse it, store its DAGs."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    bundle = manager.get_bundle(bundle_name)
    bundle.initialize()
    version = bundle.get_current_version().version
    bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=bundle_name)
    sync_bag_to_db(bag, bundle_name, version)
    return {
        "version": version,
        "files": sorted(os.path.relpath(name, bundle.path) for name in bag.file_last_changed),
        "dags": sorted(bag.dags),
        "errors": bag.import_errors,
    }


def run(bundle_name: str, run_id: str, dag_id: str, task_id: str) -> dict[str, Any]:
    """Do what scheduler and worker do: run one task of a new run, or of an old one again, in a process of its own."""
    from airflow._shared.timezones import timezone
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.executors.workloads.base import BundleInfo
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.sdk.api.client import Client
    from airflow.sdk.api.datamodels._generated import TaskInstance
    from airflow.sdk.execution_time.supervisor import in_process_api_server, supervise_task
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    with create_session() as session:
        dag_run = session.scalar(select(DagRun).where(DagRun.run_id == run_id))
        if dag_run is None:
            trigger_dag(dag_id, run_id=run_id, run_after=timezone.utcnow(), triggered_by=DagRunTriggeredByType.TEST)
            dag_run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        version = dag_run.bundle_version
        instance = dag_run.get_task_instance(task_id, session=session)
        instance.try_number += 1
        instance.state = TaskInstanceState.QUEUED
        session.flush()
        fields = ("id", "task_id", "dag_id", "run_id", "try_number", "map_index", "dag_version_id")
        workload = TaskInstance(**{name: getattr(instance, name) for name in fields})
    api = Client(
        base_url="http://in-process.invalid/", token="", dry_run=False, transport=in_process_api_server().transport
    )
    supervise_task(
        ti=workload,
        bundle_info=BundleInfo(name=bundle_name, version=version),
        dag_rel_path=f"dags/{dag_id}.py",
        token="",
        client=api,
        subprocess_logs_to_stdout=True,
    )
    with create_session() as session:
        dag_run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        query = XComModel.get_many(run_id=run_id, dag_ids=dag_id, task_ids=task_id, key="return_value")
        value = session.scalar(query.with_only_columns(XComModel.value))
        return {
            "version": version,
            "state": dag_run.get_task_instance(task_id, session=session).state,
            "result": value,
        }


def work(order: dict[str, Any]) -> None:
    """Do one piece of work and print its result."""
    role = {"parse": parse, "run": run}[order["role"]]
    result = role("patterns", *order["arguments"])
    print("RESULT", json.dumps(result, default=str), flush=True)


async def prepare_api() -> None:
    """Let the API for tasks answer once: its first answer takes seconds, and every child would pay for it."""
    import httpx
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    transport = in_process_api_server().atransport
    async with httpx.AsyncClient(transport=transport, base_url="http://in-process.invalid") as client:
        (await client.get("/health")).raise_for_status()


def main() -> None:
    """Do every piece of work in a child of its own."""
    for module in (*OF_AIRFLOW, *OF_OTHERS):
        importlib.import_module(module)
    asyncio.run(prepare_api())
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                work(json.loads(line))
            except BaseException:
                traceback.print_exc()
                print("FAILED", flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
