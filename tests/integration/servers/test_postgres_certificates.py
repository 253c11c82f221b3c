"""A PostgreSQL that wants a client's certificate: a real server, where one is installed that speaks TLS."""

import asyncio
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionFields
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_asyncpg import connect_asyncpg
from code_patterns.servers.postgres_connection import postgres_config
from code_patterns.servers.postgres_psycopg import connect, connect_blocking
from demo.processes import free_port
from tests.support.certificates import Certificates, make_certificates

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
"""The servers of Debian's packages; the embedded one speaks no TLS."""
HBA = "local all all trust\nhostssl all all 127.0.0.1/32 cert\n"

pytestmark = pytest.mark.skipif(not PROGRAMS, reason="no PostgreSQL that speaks TLS is in /usr/lib/postgresql")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def port(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a server that lets in who shows a certificate with the login's name."""
    # PostgreSQL does not run as root, and pytest's folders are closed to others.
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"patterns-tls-{os.getpid()}"  # noqa: S108 (removed below)
    folder.mkdir(mode=0o700)
    data, key = folder / "data", folder / "server.pem"
    shutil.copy(certificates.server, key)
    key.chmod(0o600)
    shutil.copy(certificates.authority, folder / "authority.pem")
    for path in (folder, key, folder / "authority.pem"):
        os.chown(path, user.pw_uid, user.pw_gid)
    port = free_port(25432)
    settings = {"ssl": "on", "ssl_cert_file": key, "ssl_key_file": key, "ssl_ca_file": folder / "authority.pem"}
    settings |= {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}

    def run(program: str, *arguments: str) -> None:
        command = [str(PROGRAMS[-1].with_name(program)), *arguments]
        subprocess.run(command, user=user.pw_uid, group=user.pw_gid, cwd=folder, check=True, capture_output=True)

    try:
        run("initdb", "--pgdata", f"{data}", "--username", "patterns_sync", "--auth", "trust", "--no-sync")
        (data / "pg_hba.conf").write_text(HBA)
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        run("pg_ctl", "start", "--pgdata", f"{data}", "--wait", "--log", f"{folder / 'log'}", "--options", options)
        try:
            yield port
        finally:
            run("pg_ctl", "stop", "--pgdata", f"{data}", "--mode", "immediate")
    finally:
        shutil.rmtree(folder)


def blocking(config: PostgresConfig) -> str:
    with connect_blocking(config) as connection:
        return str(connection.info.user)


def streaming(config: PostgresConfig) -> str:
    async def ask() -> str:
        async with await connect(config) as connection:
            return str(connection.info.user)

    return asyncio.run(ask())


def pooled(config: PostgresConfig) -> str:
    async def ask() -> str:
        connection = await connect_asyncpg(config, {})
        try:
            return str(await connection.fetchval("SELECT current_user"))
        finally:
            await connection.close()

    return asyncio.run(ask())


def config(port: int, certificates: Certificates, login: str = "patterns_sync", **shown: Path) -> PostgresConfig:
    extra = {"sslmode": "verify-full", "sslrootcert": certificates.authority, **shown}
    written = json.dumps({name: str(path) for name, path in extra.items()})
    return postgres_config(ConnectionFields("c", "127.0.0.1", port, "postgres", login, extra=written))


@pytest.mark.parametrize("ask", [blocking, streaming, pooled])
def test_the_certificate_is_the_login(ask: Any, port: int, certificates: Certificates) -> None:
    shown = {"sslcert": certificates.client, "sslkey": certificates.client_key}
    assert ask(config(port, certificates, **shown)) == "patterns_sync"


@pytest.mark.parametrize("ask", [blocking, streaming, pooled])
@pytest.mark.parametrize("case", ["none", "of another login", "of another authority"])
def test_another_certificate_is_refused(
    ask: Any, case: str, port: int, certificates: Certificates, tmp_path: Path
) -> None:
    shown = {"sslcert": certificates.client, "sslkey": certificates.client_key}
    login = "patterns_sync"
    if case == "none":
        shown = {}
    elif case == "of another login":
        login = "somebody"
    else:
        other = make_certificates(tmp_path)
        shown = {"sslcert": other.client, "sslkey": other.client_key}
    with pytest.raises(ConfigurationError, match="'c'") as refused:
        ask(config(port, certificates, login, **shown))
    assert refused.value.code in (Code.POSTGRES_LOGIN_REFUSED, Code.CERTIFICATE_REFUSED)
