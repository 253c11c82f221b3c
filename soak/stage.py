"""All servers and programs of a soak, what each is called, and how each is killed and started again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from uuid import UUID

import httpx
import psutil
import psycopg

from code_patterns.servers.postgres import PostgresConfig
from demo.airflow_server import USER, AirflowServer
from demo.errors import DemoError
from demo.harvest import harvest
from demo.installation import load
from demo.postgres import PostgresServer
from demo.processes import free_port, inherited_environment, members
from demo.rest import AirflowApi, Run
from demo.screen import Screen
from demo.secrets_file import Secrets
from demo.stack import MIGRATION, Workplace, wait_until_ready
from soak import COLLECTION, HOME, PLUGINS, ROOT, TARGET
from soak.comparison import APPLICATION, BothSides
from soak.disk import SmallDisk, small_disk
from soak.embedding_server import DIMENSION, MODEL
from soak.proxy import TcpProxy
from soak.searches import NO_MORE, Task

BINARY = "PATTERNS_QDRANT_BINARY"
LOGS = HOME / "logs"
DISK = HOME / "qdrant"
SEARCHED = HOME / "searches.jsonl"
START_SECONDS = 300.0
STOP_SECONDS = 60.0
BEGIN_SECONDS = 60.0
"""A task that has not begun after so long will not."""
AIRFLOW_SECONDS = 600.0
MIGRATION_SECONDS = 600.0
SEARCHES_PER_SECOND = 20.0
TELLING = 12
"""Characters of a name that stands for one pattern alone."""
STREAM_POOL = "soak_stream"

FULL = f"pattern_sync_full__{TARGET}"
INCREMENTAL = f"pattern_sync_incremental__{TARGET}"
STREAM = f"pattern_sync_stream__{TARGET}"
QUALITY = f"quality_backfill__{TARGET}"

AIRFLOW = ("scheduler", "triggerer", "dag-processor", "api-server")
"""Airflow's long-lived programs."""

_SCHEDULES = {"incremental": "*/3 * * * *", "full": "*/7 * * * *"}


class Stage:
    """Everything that runs.

    Its methods are called by one thread.

    :param place: gets the programs
    :param screen: shows the progress
    :param held: closes what this process itself holds
    :raises DemoError: the Qdrant program is not named, or something does not start
    """

    def __init__(self, place: Workplace, screen: Screen, held: ExitStack) -> None:
        self._binary = _qdrant_program()
        self._place = place
        self._screen = screen
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._secrets = Secrets()
        self.disk: SmallDisk | None = held.enter_context(small_disk(DISK))
        self._searched: IO[bytes] = held.enter_context(SEARCHED.open("ab"))
        self.qdrant_port, self._grpc_port, self._embedding_port = (free_port() for _ in range(3))
        self._patterns = PostgresServer("patterns", self._secrets.patterns_database, place.databases, HOME)
        self._metadata = PostgresServer("airflow", self._secrets.metadata_database, place.databases, HOME)
        with screen.step("PostgreSQL, filled as by applications"):
            self.database = self._patterns.start()
            self.rows = harvest(datetime.now(UTC))
            load(self.database, self.rows)
        self.dsn = self.database.conninfo
        with screen.step("Qdrant and the embedding server"):
            self.start("qdrant")
            self.start("embeddings")
        self.qdrant_proxy = held.enter_context(TcpProxy(self.qdrant_port))
        self.postgres_proxy = held.enter_context(TcpProxy(self.database.port))
        self.sides = BothSides(self.dsn, self._url(self.qdrant_port))
        with screen.step("Airflow, with this checkout as its DAG bundle"):
            self._server, self.api = self._start_airflow()

    def start(self, role: str) -> None:
        """Start a program, and wait until it works.

        :raises DemoError: it does not
        """
        match role:
            case "postgres":
                self._patterns.start(self.database.port)
            case "qdrant":
                self._started[role] = self._program("qdrant", [self._binary], DISK, self._qdrant_settings())
            case "embeddings":
                command = [sys.executable, "-m", "soak.embedding_server", str(self._embedding_port)]
                self._started[role] = self._program(role, command, ROOT, {"PYTHONPATH": str(PLUGINS)})
            case "searches":
                self._start_searches()
            case _:
                self._started[role] = self._server.run(*self._airflow_command(role))
        self._wait(role)

    def kill(self, role: str) -> None:
        """Kill a program with SIGKILL; what it has started lives on until :meth:`clear`."""
        process = self._process(role)
        process.kill()
        process.wait()

    def stop(self, role: str) -> None:
        """Ask a program to end, and wait until it has."""
        process = self._process(role)
        process.send_signal(signal.SIGINT if role == "postgres" else signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        self.clear(role)

    def clear(self, role: str) -> None:
        """End what is left of a program, as a supervisor does before it starts it again."""
        programs = self._place.airflow if role in AIRFLOW else self._place.databases
        programs.stop(self._process(role))

    def pid(self, role: str) -> int:
        """Process of a program."""
        return self._process(role).pid

    def sessions(self) -> Mapping[str, list[psutil.Process]]:
        """The living processes of each program, its first one first."""
        return {role: _family(self._process(role)) for role in (*self._started, "postgres")}

    def end_searches(self) -> None:
        """Let no further search begin. Qdrant keeps the threads of its busiest moment for as long as requests come."""
        [searches, *_] = self.sessions()["searches"]
        searches.send_signal(NO_MORE)

    def died(self) -> list[str]:
        """The programs that have ended by themselves."""
        return [role for role in (*self._started, "postgres") if self._process(role).poll() is not None]

    def takes_tasks(self) -> bool:
        """Whether a task begins that is asked for now: that of a migration that would change nothing."""
        run = self.api.trigger(MIGRATION, {"direction": "up", "dry_run": True})
        deadline = time.monotonic() + BEGIN_SECONDS
        while time.monotonic() < deadline:
            if any(task["start_date"] for task in self.api.tasks(run)):
                return True
            time.sleep(0.5)
        return False

    def set_pace(self, **pace: float) -> None:
        """Set how the embedding server behaves."""
        httpx.post(f"{self._url(self._embedding_port)}/pace", json=pace, trust_env=False).raise_for_status()

    def migrate(self, stream_minutes: int) -> None:
        """Run the migration and a first full sync, and let the schedules begin.

        :param stream_minutes: after that time a stream ends, and the next one goes on
        :raises DemoError: a run fails
        """
        self.api.add_variable("pattern_stream_max_minutes", str(stream_minutes), "How long a stream works")
        with self._screen.step(f"{MIGRATION}, and the first full sync"):
            for dag_id, params in ((MIGRATION, {"direction": "up", "dry_run": False}), (FULL, {})):
                self._finish(self.api.trigger(dag_id, params))
        for dag_id in (INCREMENTAL, QUALITY, STREAM):
            self.api.unpause(dag_id)

    def client(self) -> AirflowApi:
        """A client of Airflow for another thread, logged in."""
        api = AirflowApi(self._server.url, USER, self._secrets.login)
        api.log_in()
        return api

    def metadata_processes(self) -> set[int]:
        """The processes of Airflow's own database."""
        process = self._metadata.process
        return {member.pid for member in _family(process)} if process else set()

    def _finish(self, started: Run) -> None:
        ended = self.api.finish(started, self._screen.tick, MIGRATION_SECONDS)
        if ended.state != "success":
            log = "\n".join(self.api.failed_task_log(ended)[-20:])
            raise DemoError(f"{ended.dag_id} failed before the soak began:\n{log}")

    def _process(self, role: str) -> subprocess.Popen[bytes]:
        if role != "postgres":
            return self._started[role]
        if self._patterns.process is None:
            raise DemoError("PostgreSQL has not been started.")
        return self._patterns.process

    def _start_airflow(self) -> tuple[AirflowServer, AirflowApi]:
        metadata = self._metadata.start()
        targets = HOME / "targets.yaml"
        # JSON is YAML too.
        entry = {
            "name": TARGET,
            "collection": COLLECTION,
            "schedules": _SCHEDULES,
            "stream_pool": STREAM_POOL,
            "scores": True,
        }
        targets.write_text(json.dumps([entry]))
        settings = {
            # A busy machine needs long for a file.
            "core": {"parallelism": "6", "dagbag_import_timeout": "120"},
            "dag_processor": {"min_file_process_interval": "120", "dag_file_processor_timeout": "180"},
            "scheduler": {
                "task_instance_heartbeat_timeout": "60",
                "task_instance_heartbeat_timeout_detection_interval": "5",
            },
            "api": {"workers": "1"},
        }
        server = AirflowServer(
            self._place.airflow,
            self._secrets,
            metadata,
            port=free_port(),
            scheduled=True,
            home=HOME,
            settings=settings,
            environment={"PATTERNS_TARGETS": str(targets)},
        )
        config = server.home / "config"
        config.mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("airflow_local_settings.py"), config)
        migration = server.prepare()
        if migration.wait():
            raise DemoError(f"Airflow's metadata database could not be made. Read {LOGS / 'db.log'}.")
        for role in AIRFLOW:
            self._started[role] = server.run(*self._airflow_command(role))
        api = AirflowApi(server.url, USER, self._secrets.login)
        needed = {MIGRATION, FULL, INCREMENTAL, STREAM, QUALITY}
        wait_until_ready(server, api, self._place.airflow, self._screen, needed, AIRFLOW_SECONDS)
        self._furnish(api)
        return server, api

    def _furnish(self, api: AirflowApi) -> None:
        database = self.database
        api.replace_connection(
            "patterns_postgres",
            "postgres",
            host=database.host,
            port=self.postgres_proxy.port,
            schema=database.database,
            login=database.user,
            password=database.password,
        )
        api.replace_connection("patterns_qdrant", "qdrant", host="127.0.0.1", port=self.qdrant_proxy.port)
        embedding = {"api": "ollama", "model": MODEL, "dimension": DIMENSION}
        api.replace_connection(
            "patterns_embeddings",
            "embedding",
            host="127.0.0.1",
            port=self._embedding_port,
            schema="http",
            extra=json.dumps(embedding),
        )
        api.add_variable("quality_backfill_delay_seconds", "0", "Pause between two batches of the quality backfill")
        # The writers delete as much between two nights of some minutes as others in a month.
        api.add_variable("pattern_sync_max_delete_fraction", "0.9", "Share of the points that a full sync may delete")
        api.add_pool("patterns_sync", 6, "Runs of the sync")
        api.add_pool(STREAM_POOL, 2, "The stream, and one that was killed")

    def _start_searches(self) -> None:
        stable = self.stable()
        named = Counter(row.pattern_name for row in self.rows.loaded)
        names = {
            str(row.id): row.pattern_name
            for row in self.rows.loaded
            if row.id in stable and row.pattern_type == "code" and _is_telling(row.pattern_name, named)
        }
        task = Task(
            postgres=asdict(self._through_proxy()),
            qdrant={"conn_id": "patterns_qdrant", "url": self._url(self.qdrant_proxy.port)},
            embedding={
                "conn_id": "patterns_embeddings",
                "api": "ollama",
                "model": MODEL,
                "dimension": DIMENSION,
                "base_url": self._url(self._embedding_port),
            },
            names=names,
            per_second=SEARCHES_PER_SECOND,
        )
        given = HOME / "searches.json"
        given.touch(0o600)
        given.write_text(json.dumps(asdict(task)))
        with given.open("rb") as source:
            self._started["searches"] = self._place.airflow.start(
                [sys.executable, "-m", "soak.searches"],
                log=LOGS / "searches.log",
                environment={**inherited_environment(), "PYTHONPATH": str(PLUGINS)},
                cwd=ROOT,
                stdin=source,
                stdout=self._searched,
            )

    def _through_proxy(self) -> PostgresConfig:
        one = self.database
        return PostgresConfig(
            "patterns_postgres", one.host, one.database, one.user, one.password, self.postgres_proxy.port
        )

    def _program(
        self, role: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return self._place.databases.start(
            command, log=LOGS / f"{role}.log", environment={**inherited_environment(), **environment}, cwd=folder
        )

    def _qdrant_settings(self) -> Mapping[str, str]:
        return {
            "QDRANT__SERVICE__HOST": "127.0.0.1",
            "QDRANT__SERVICE__HTTP_PORT": str(self.qdrant_port),
            "QDRANT__SERVICE__GRPC_PORT": str(self._grpc_port),
            "QDRANT__STORAGE__STORAGE_PATH": str(DISK / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(DISK / "snapshots"),
            "QDRANT__TELEMETRY_DISABLED": "true",
        }

    @staticmethod
    def _airflow_command(role: str) -> tuple[str, ...]:
        return (role, "--skip-serve-logs") if role in ("scheduler", "triggerer") else (role,)

    @staticmethod
    def _url(port: int) -> str:
        return f"http://127.0.0.1:{port}"

    def _wait(self, role: str) -> None:
        works: Mapping[str, Callable[[], bool]] = {
            "qdrant": lambda: _answers(f"{self._url(self.qdrant_port)}/readyz"),
            "embeddings": lambda: _answers(f"{self._url(self._embedding_port)}/api/show", "POST"),
            "api-server": lambda: _answers(f"{self._server.url}/api/v2/monitor/health"),
            "postgres": self.takes_sessions,
        }
        deadline = time.monotonic() + START_SECONDS
        while not works.get(role, lambda: True)():
            if time.monotonic() > deadline or self._process(role).poll() is not None:
                raise DemoError(f"'{role}' does not work after it was started. Read its log in {LOGS}.")
            time.sleep(0.1)

    def takes_sessions(self) -> bool:
        """Whether PostgreSQL works."""
        try:
            psycopg.connect(self.dsn, application_name=APPLICATION).close()
        except psycopg.OperationalError:
            return False
        return True

    def stable(self) -> frozenset[UUID]:
        """Ids of every fifth pattern: writers leave them alone, so searches can expect them."""
        return frozenset(row.id for row in self.rows.loaded[::5])


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The living processes of a program, its first one first: PostgreSQL's children have sessions of their own."""
    found = {member.pid: member for member in members(process)}
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(process.pid)
        found |= {member.pid: member for member in (first, *first.children(recursive=True))}
    return sorted(found.values(), key=lambda member: member.pid != process.pid)


def _is_telling(name: str, named: Mapping[str, int]) -> bool:
    """Whether a search for a name must find it: others have names such as ``main`` too, or hold them as words."""
    return named[name] == 1 and len(name.rsplit(".", 1)[-1]) >= TELLING


def _qdrant_program() -> str:
    program = os.environ.get(BINARY, "")
    if not program or not os.access(program, os.X_OK):
        raise DemoError(
            f"The soak needs a Qdrant server: set {BINARY} to the path of its program, "
            "such as the one in the archives at https://github.com/qdrant/qdrant/releases."
        )
    return str(Path(program).resolve())


def _answers(url: str, method: str = "GET") -> bool:
    try:
        return httpx.request(method, url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
