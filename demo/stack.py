"""PostgreSQL, Qdrant's folder and Airflow together: what both commands run on."""

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from code_patterns.servers.postgres import PostgresConfig
from demo import HOME
from demo.airflow_server import LOGS, POOL, USER, AirflowServer
from demo.collection import DIMENSION, STORAGE
from demo.errors import DemoError
from demo.harvest import Harvest, harvest
from demo.installation import count_by_type, load
from demo.postgres import PostgresServer
from demo.processes import Programs, free_port, stop_leftovers, stopping_on_signals, undisturbed
from demo.rest import AirflowApi
from demo.screen import Screen
from demo.secrets_file import Secrets, secrets_of_this_demo

MIGRATION = "schema_migration"
FULL = "pattern_sync_full"
INCREMENTAL = "pattern_sync_incremental"
QUALITY = "quality_backfill"
ANALYTICS = "pattern_analytics"
STREAM = "pattern_sync_stream"
START_SECONDS = 180.0

_LOADED = HOME / "loaded"
_VARIABLES = {
    "pattern_sync_batch_size": ("100", "Patterns that are embedded and written together"),
    "pattern_sync_delay_seconds": ("0", "Pause between two batches of a sync"),
    "pattern_sync_max_delete_fraction": ("0.2", "A full sync refuses to delete more than this share of the points"),
    "pattern_verify_nights": ("1", "In how many nights a verification reads every point whole once"),
    "patterns_collection": ("code_patterns", "Alias or collection in Qdrant that the sync writes"),
    "patterns_patience_seconds": ("300", "How long a run waits at its start for servers that are down"),
    "pattern_stream_linger_seconds": ("600", "The stream ends when nothing has changed for so long"),
    "pattern_stream_max_minutes": ("60", "The stream ends after that time; the next one goes on"),
    "pattern_stream_poll_milliseconds": ("250", "How often the stream looks for changes"),
    "quality_backfill_batch_size": ("100", "Patterns that are scored together"),
    "quality_backfill_delay_seconds": ("0.5", "Pause between two batches of the quality backfill"),
    "quality_onex_weight": ("0.2", "Weight of ONEX compliance in a quality score"),
    "pattern_trace_retention_days": ("90", "Days for which traces of the storage layer are kept"),
}


@dataclass(frozen=True)
class Workplace:
    """The demo's folder, while no other process uses it.

    :param databases: programs that end last, because Airflow and its tasks use them
    :param airflow: programs that end first
    """

    databases: Programs
    airflow: Programs


@dataclass(frozen=True)
class Stack:
    """Everything that runs.

    :param database: how to reach the patterns
    :param server: Airflow
    :param api: its REST API, logged in
    :param secrets: its login, among others
    """

    database: PostgresConfig
    server: AirflowServer
    api: AirflowApi
    secrets: Secrets


@contextmanager
def workplace(screen: Screen, home: Path = HOME) -> Iterator[Workplace]:
    """Lock a command's folder for this process, and at the end stop everything that was started.

    :param screen: shows that it stops
    :param home: the folder
    :raises DemoError: another process uses it
    """
    home.mkdir(exist_ok=True)
    place = Workplace(Programs(home), Programs(home))
    # The kernel releases the lock however this process ends.
    with (home / "lock").open("w") as lock, stopping_on_signals():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"Another command of this checkout uses {home}, which serves one at a time. "
                "Stop the other with Ctrl-C first."
            ) from None
        stop_leftovers(home)
        try:
            yield place
        finally:
            with undisturbed(), screen.brief("Stopping Airflow and PostgreSQL ..."):
                place.airflow.stop()
                place.databases.stop()


def is_loaded() -> bool:
    """Whether an earlier call left data."""
    return _LOADED.exists()


def start(
    place: Workplace, screen: Screen, rows: Harvest | None, *, port: int, scheduled: bool, triggerer: bool
) -> Stack:
    """Start PostgreSQL, with rows in it, and Airflow, with connections, Variables and a pool in it.

    :param place: gets the programs
    :param screen: shows the progress
    :param rows: the rows to begin with, instead of those that earlier calls left; ``None`` keeps those
    :param port: preferred port of Airflow's UI, 0 for any
    :param scheduled: whether the DAGs' own schedules start runs
    :param triggerer: whether to start Airflow's triggerer too
    :raises DemoError: something does not start; the message names its log
    """
    if rows:
        clear(HOME)
    secrets = secrets_of_this_demo()
    with screen.step("PostgreSQL, filled like an installation before this project" if rows else "PostgreSQL"):
        database = PostgresServer("patterns", secrets.patterns_database, place.databases).start()
        if rows:
            load(database, rows)
            _LOADED.touch()
    counts = "   ".join(f"{kind} {count:,}" for kind, count in count_by_type(database).items())
    screen.say(f"{database.host}:{database.port}, table pattern_lineage_nodes: {counts}")
    with screen.step("Airflow, with this checkout as its DAG bundle"):
        # Not SQLite: a backfill started in the UI found it locked. Not the patterns' server either: transactions of
        # Airflow on it would hold the sync's horizon back.
        metadata = PostgresServer("airflow", secrets.metadata_database, place.databases).start()
        server = AirflowServer(place.airflow, secrets, metadata, port=free_port(port), scheduled=scheduled)
        migration = server.prepare()
        while migration.poll() is None:
            screen.tick()
            time.sleep(0.1)
        if migration.returncode:
            raise DemoError(f"Airflow's metadata database could not be made. Read {LOGS / 'db.log'}.")
        server.start(triggerer=triggerer)
        api = AirflowApi(server.url, USER, secrets.login)
        wait_until_ready(server, api, place.airflow, screen)
        _furnish(api, database)
    screen.say(f"{server.url}, LocalExecutor, {len(api.dag_ids())} DAGs")
    return Stack(database, server, api, secrets)


def harvested(screen: Screen) -> Harvest:
    """Harvest the rows of an installation and show how many."""
    with screen.step("Patterns of this Python's standard library"):
        rows = harvest(datetime.now(UTC))
    code = [row for row in rows.loaded if row.pattern_type == "code"]
    modules = len({row.file_path for row in code})
    screen.say(f"{len(code) + len(rows.later):,} functions and classes of {modules} modules")
    return rows


def clear(home: Path) -> None:
    """Remove what earlier calls left in a command's folder; its lock stays."""
    for path in home.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def wait_until_ready(
    server: AirflowServer,
    api: AirflowApi,
    programs: Programs,
    screen: Screen,
    needed: Set[str] = frozenset({MIGRATION, FULL, INCREMENTAL, QUALITY, ANALYTICS, STREAM}),
    seconds: float = START_SECONDS,
) -> None:
    """Wait until Airflow is healthy and has parsed the DAGs that are needed, and log in.

    :raises DemoError: a program ended, a DAG file cannot be read, or it takes too long; the message names the logs
    """
    deadline = time.monotonic() + seconds
    healthy = False
    while not (healthy and needed <= api.dag_ids()):
        if failed := programs.failed():
            raise DemoError(f"'{failed}' ended unexpectedly. Read its log in {server.logs}.")
        if time.monotonic() > deadline:
            raise DemoError(f"Airflow at {server.url} is not ready after {seconds:.0f} s. Read {server.logs}.")
        if not healthy and api.is_up():
            healthy = True
            api.log_in()
        elif healthy and (errors := api.import_errors()):
            raise DemoError("Airflow cannot read a DAG file of this checkout:\n" + "\n".join(errors))
        screen.tick()
        time.sleep(0.1)


def _furnish(api: AirflowApi, database: PostgresConfig) -> None:
    """Put connections, Variables and the pool into Airflow; keep what somebody changed in the UI."""
    # The database has another port at every start.
    api.replace_connection(
        "patterns_postgres",
        "postgres",
        host=database.host,
        port=database.port,
        schema=database.database,
        login=database.user,
        password=database.password,
        description="The table pattern_lineage_nodes",
    )
    # Port 0 means none. The UI's Test button sends 0 too; with another value Airflow sees another server.
    api.add_connection(
        "patterns_qdrant",
        "qdrant",
        port=0,
        extra=json.dumps({"path": str(STORAGE)}),
        description="An embedded Qdrant in the demo's folder: one process at a time",
    )
    api.add_connection(
        "patterns_embeddings",
        "embedding",
        port=0,
        extra=json.dumps({"api": "hashing", "dimension": DIMENSION}),
        description="The built-in embedder, which needs no server",
    )
    for key, (value, description) in _VARIABLES.items():
        api.add_variable(key, value, description)
    api.add_pool(POOL, 1, "The embedded Qdrant takes one run at a time")
