"""Behind a pooler: in session mode everything works, in transaction mode one sentence says what to do."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.migrations.runner import apply, plan, verify
from code_patterns.servers.postgres import PostgresConfig
from tests.integration.servers.test_postgres_session import assert_sessions_are_settled, failures
from tests.support import postgres_proxy
from tests.support.learning_database import Layer, LearningDatabase
from tests.support.roles import SYNC
from tests.support.two_sides import TwoSides, rows

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
TRANSACTION_MODE = r"'patterns_postgres'.*pooler in transaction mode.*pool_mode = session"


@contextmanager
def pgbouncer(server: PostgresConfig, folder: Path, mode: str, *settings: str) -> Iterator[PostgresConfig]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    password = f" password={server.password}" if server.password else ""
    file = folder / "pgbouncer.ini"
    lines = [
        "[databases]",
        f"* = host={server.host} port={server.port} user={server.user}{password}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        f"pool_mode = {mode}",
        *settings,
    ]
    file.write_text("\n".join(lines) + "\n")
    # As root it must become somebody else, who must reach its file and the server's socket.
    sockets = [Path(server.host)] if server.host.startswith("/") else []
    for each in (folder, *folder.parents, *sockets) if os.geteuid() == 0 else ():
        if str(each) != "/":
            each.chmod(each.stat().st_mode | 0o005)
    command = [str(PGBOUNCER), "-q", *(("-u", "nobody") if os.geteuid() == 0 else ()), str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 10
            while process.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert time.monotonic() < until
                time.sleep(0.02)
            yield replace(server, host="127.0.0.1", port=port)
        finally:
            process.terminate()


@contextmanager
def pooler(server: PostgresConfig, kind: str, mode: str, folder: Path) -> Iterator[PostgresConfig]:
    if kind == "imitated":
        with postgres_proxy.before(server, pooler=True, shared=mode == "transaction") as proxy:
            yield replace(server, host="127.0.0.1", port=proxy.port)
        return
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not installed")
    # Dropped without a word, or refused.
    ignored = ("ignore_startup_parameters = options,extra_float_digits",) if kind == "ignoring" else ()
    with pgbouncer(server, folder, mode, *ignored) as config:
        yield config


@pytest.mark.parametrize("kind", ["imitated", "pgbouncer", "ignoring"])
def test_session_mode_works(sides: TwoSides, kind: str, tmp_path: Path) -> None:
    server = sides.postgres
    role = psycopg.sql.Identifier(server.user)
    limit = psycopg.sql.SQL("ALTER ROLE {} IN DATABASE {} SET datestyle = 'German'")
    sides.insert(rows(5))
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        admin.execute(limit.format(role, psycopg.sql.Identifier(server.database)))
    with pooler(server, kind, "session", tmp_path) as sides.postgres:
        assert_sessions_are_settled(sides.postgres)
        assert verify(sides.postgres).version
        for mode in ("full", "incremental"):
            assert sides.sync(mode, settled=False).dead_letters == 0

        async def store(layer: Layer) -> str:
            return await layer.store()

        learning = LearningDatabase(sides.postgres.conninfo)
        assert learning.use(store, min_pool_size=2)
    sides.postgres = server
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.POOLER_IN_THE_WAY)
@pytest.mark.parametrize("kind", ["imitated", "pgbouncer", "ignoring"])
def test_migrations_are_refused_in_session_mode_too(sides: TwoSides, kind: str, tmp_path: Path) -> None:
    with pooler(sides.postgres, kind, "session", tmp_path) as config:
        for attempt in (lambda: plan(config, "up", None), lambda: apply(config, "down", 0, "run")):
            with pytest.raises(ConfigurationError, match=r"behind a pooler such as PgBouncer.*direct connection"):
                attempt()
    assert apply(sides.postgres, "up", None, "run").versions == ()
    assert verify(sides.postgres).version


@pytest.mark.remedy(Code.POOLER_IN_THE_WAY)
@pytest.mark.parametrize("kind", ["imitated", "pgbouncer", "ignoring"])
def test_transaction_mode_is_refused_by_every_way_of_opening(sides: TwoSides, kind: str, tmp_path: Path) -> None:
    server = sides.postgres
    sides.insert(rows(5))
    with pooler(server, kind, "transaction", tmp_path) as sides.postgres:
        for error in failures(sides.postgres):
            assert type(error) is ConfigurationError, error
            assert re.search(TRANSACTION_MODE, str(error))
        with pytest.raises(ConfigurationError, match=TRANSACTION_MODE):
            sides.sync("incremental", settled=False)
    sides.postgres = server
    assert sides.execute("SELECT count(*) FROM pattern_sync_runs") == [(0,)]
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.POOLER_IN_THE_WAY)
def test_options_that_a_pooler_may_drop_are_refused(sides: TwoSides) -> None:
    server = sides.postgres
    sides.insert(rows(5))
    with postgres_proxy.before(server, pooler=True) as proxy:
        sides.postgres = replace(server, host="127.0.0.1", port=proxy.port)
        options = {"options": "-c search_path=public"}
        for error in failures(replace(sides.postgres, options=options)):
            assert type(error) is ConfigurationError, error
            assert "behind a pooler, which may drop the extra 'options'" in str(error)
        with psycopg.connect(server.conninfo, autocommit=True) as admin:
            admin.execute(f"ALTER ROLE {SYNC} IN DATABASE {server.database} SET search_path = public".encode())
        assert sides.sync("full", settled=False).parity == "proven"
    sides.postgres = server
    sides.assert_equal_sides()


def test_a_pooler_without_its_server_is_an_outage(sides: TwoSides) -> None:
    with postgres_proxy.before(replace(sides.postgres, host="127.0.0.1", port=1), pooler=True) as proxy:
        for error in failures(replace(sides.postgres, host="127.0.0.1", port=proxy.port)):
            assert "may serve again" in str(error)
