"""The targets as DAG files need them: the one without a name, and those of the targets file."""

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    Param,
    get_parsing_context,
)
from airflow.sdk.configuration import conf

from code_patterns.errors import ConfigurationError
from code_patterns.sync.sync_target import MIGRATION, VARIABLE, WITHOUT_NAME, SyncTarget
from code_patterns.sync.targets_file import Connections, Schedules, Target, read_targets


@dataclass(frozen=True)
class TargetDags:
    """What the DAGs of a target have in common.

    :param sync_target: whose runs they are
    :param entry: the target in the file; ``None`` for the one without a name
    :param donors: collections of other targets in the same Qdrant; ``None`` for that of the Variable
    """

    sync_target: SyncTarget = WITHOUT_NAME
    entry: Target | None = None
    donors: tuple[str | None, ...] = ()

    def named(self, name: str) -> str:
        """The name of one of its DAGs or assets.

        :param name: what it is called without a target
        """
        return self.sync_target.named(name)

    def asset(self, name: str) -> Asset:
        """One of its assets: the runs of one target wake no DAG of another one."""
        return Asset(self.named(name))

    @property
    def schedules(self) -> Schedules:
        """Its schedules."""
        return self.entry.schedules if self.entry else Schedules()

    @property
    def connections(self) -> Connections:
        """Its connections."""
        return self.entry.connections if self.entry else Connections()

    @property
    def collection(self) -> str | None:
        """Its collection; ``None`` for that of the Variable."""
        return self.entry.collection if self.entry else None

    @property
    def has_shards(self) -> bool:
        """Whether several workers share its full sync."""
        return self.entry is None or self.entry.shards

    @property
    def pool(self) -> str:
        """The pool of its tasks."""
        return (self.entry and self.entry.pool) or _pool_of("PATTERNS_POOL")

    @property
    def stream_pool(self) -> str:
        """The pool of its stream."""
        return (self.entry and self.entry.stream_pool) or _pool_of("PATTERNS_STREAM_POOL")

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Default arguments of its tasks; each operator takes those that it knows."""
        return {
            "postgres_conn_id": self.connections.postgres,
            "qdrant_conn_id": self.connections.qdrant,
            "embedding_conn_id": self.connections.embeddings,
            "default_collection": self.collection,
            "sync_target": self.sync_target,
            "donors": self.donors,
            "pool": self.pool,
        }

    def doc(self, text: str | None) -> str:
        """The DAG's documentation, with what is this target's own below its heading.

        :param text: the documentation without a target
        """
        return _documented(self.entry, text) if self.entry else text or ""

    def add_form(self, dag: DAG, form: Mapping[str, Param]) -> None:
        """Give a DAG its Params; see :func:`add_form`."""
        add_form(dag, form, self.collection)


def _pool_of(variable: str) -> str:
    # Compose and Kubernetes set an empty one where nothing is chosen. Tasks would wait for a pool without a name.
    return os.environ.get(variable, "").strip() or "default_pool"


def _documented(entry: Target, text: str | None) -> str:
    heading, _, rest = (text or "").partition("\n")
    used, schedules = entry.connections, entry.schedules
    filters = [f"{key} {' or '.join(values)}" for key, values in entry.filters if values]
    migration = "as it is" if used.migration == MIGRATION else f"as `{used.migration}`"
    return (
        f"{heading}\n\n**Target `{entry.name}`**: collection `{entry.collection}`; connections `{used.postgres}`, "
        f"`{used.qdrant}` and `{used.embeddings}`; rows: {'; '.join(filters) or 'all'}; schedules (UTC): full "
        f"`{schedules.full}`, incremental `{schedules.incremental}`. Read the names of DAGs and assets below with "
        f"`__{entry.name}` at their end, but `{MIGRATION}` {migration}, and these instead of the connections and of "
        f"the Variable `{VARIABLE}`.\n{rest}"
    )


@dataclass(frozen=True)
class Database:
    """A database with patterns.

    :param dag_id: the DAG that migrates it
    :param conn_id: its connection
    """

    dag_id: str
    conn_id: str

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Default arguments of the DAG's tasks."""
        return {"postgres_conn_id": self.conn_id, "sync_target": SyncTarget(migration=self.dag_id)}

    def doc(self, text: str | None) -> str:
        """The DAG's documentation, with the name of the connection.

        :param text: the documentation for the database of the target without a name
        """
        return (text or "").replace(f"`{Connections().postgres}`", f"`{self.conn_id}`")


def add_form(dag: DAG, form: Mapping[str, Param], collection: str | None = None) -> None:
    """Give a DAG its Params, when it has all its tasks.

    Each task of a DAG that has Params copies them several times, and each DAG with a schedule checks each of them
    against the definition of JSON schemas. With many targets that takes seconds. The tests check them.

    :param collection: what an empty Param ``collection`` means, unless it is the Variable
    """
    # A run changes the Params of its DAG.
    params = {name: copy.copy(param) for name, param in form.items()}
    if collection and "collection" in params:
        params["collection"].description = f"Alias or collection in Qdrant. Empty: {collection}."
    dag.params.update(params)


def targets(name: str, *, scored: bool = False) -> Iterator[TargetDags]:
    """The targets that have a DAG; in a task only the one whose task it is.

    If the targets file is wrong, none of its targets has one: ``dags/targets_file.py`` is the one file that says so.

    :param name: what the DAG is called without a target
    :param scored: leave out targets without scores
    """
    wanted = get_parsing_context().dag_id
    for target in _all_targets():
        if wanted in (None, target.named(name)) and (not scored or target.entry is None or target.entry.scores):
            yield target


def databases() -> Iterator[Database]:
    """All databases of targets, each once."""
    for conn_id, dag_id in {one.connections.postgres: one.connections.migration for one in _all_targets()}.items():
        yield Database(dag_id, conn_id)


def refuse_wrong_file() -> None:
    """Read the targets file.

    :raises ConfigurationError: it is wrong
    """
    read_targets(os.environ)


def _all_targets() -> tuple[TargetDags, ...]:
    entries: tuple[Target, ...] = ()
    with suppress(ConfigurationError):
        entries = read_targets(os.environ)
    return _made_of(entries)


@lru_cache(maxsize=1)
def _made_of(entries: tuple[Target, ...]) -> tuple[TargetDags, ...]:
    return (
        TargetDags(donors=tuple(_donors(None, entries))),
        *(TargetDags(entry.sync_target, entry, tuple(_donors(entry, entries))) for entry in entries),
    )


def _donors(target: Target | None, entries: tuple[Target, ...]) -> Iterator[str | None]:
    """Collections of other targets that can hold a row of this one, in the same Qdrant."""
    qdrant = target.connections.qdrant if target else Connections().qdrant
    if target and qdrant == Connections().qdrant:
        yield None
    for other in entries:
        apart = target and target.rows.excludes(other.rows)
        if other is not target and other.connections.qdrant == qdrant and not apart:
            yield other.collection


@cache
def limits() -> Mapping[str, Any]:
    """What Airflow's configuration says of every DAG; otherwise each DAG looks it up again, which takes long."""
    return {
        "max_active_tasks": conf.getint("core", "max_active_tasks_per_dag"),
        "max_consecutive_failed_dag_runs": conf.getint("core", "max_consecutive_failed_dag_runs_per_dag"),
        "disable_bundle_versioning": conf.getboolean("dag_processor", "disable_bundle_versioning"),
    }


@cache
def at(cron: str | None) -> CronTriggerTimetable | None:
    """Runs at these times, in UTC; ``None`` for runs by hand only."""
    return CronTriggerTimetable(cron, timezone="UTC") if cron else None


@cache
def every(cron: str | None) -> CronDataIntervalTimetable | None:
    """Runs for the spans between these times, in UTC; ``None`` for runs by hand only."""
    return CronDataIntervalTimetable(cron, timezone="UTC") if cron else None
