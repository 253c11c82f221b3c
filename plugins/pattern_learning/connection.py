"""Where the database is, and how asyncpg gets there."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import asyncpg
import psycopg
from psycopg.conninfo import conninfo_to_dict

from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.servers.postgres import CONNECT_TIMEOUT_SECONDS, PostgresConfig

URL_NAME = "connection_url"
"""How messages call a connection that was given as a URL."""

_TLS = ("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation")
_SESSION = ("application_name", "options", "client_encoding")


def config_from_url(url: str) -> PostgresConfig:
    """Read a connection URL; what it does not say is not guessed.

    :param url: ``postgresql://user:password@host:port/database?sslmode=require``, or libpq's ``host=... dbname=...``
    :raises ConfigurationError: it is malformed, or lacks host, database or user; the text never holds the URL
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            "The connection_url is malformed. Write it as postgresql://user:password@host:port/database, with special "
            "characters of the password percent-encoded."
        ) from None
    host, port = str(parts.pop("host", "") or ""), str(parts.pop("port", "") or "5432")
    database, user = str(parts.pop("dbname", "") or ""), str(parts.pop("user", "") or "")
    for name, value in (("host", host), ("database", database), ("user", user)):
        if not value:
            raise ConfigurationError(
                f"The connection_url has no {name}. Write it as postgresql://user:password@host:port/database; nothing "
                "is guessed."
            )
    if "," in host or not port.isdecimal():
        raise ConfigurationError("The connection_url must name one host and one port.")
    password = parts.pop("password", None)
    return PostgresConfig(
        conn_id=URL_NAME,
        host=host,
        database=database,
        user=user,
        password=None if password is None else str(password),
        port=int(port),
        options=parts,
    )


def config_from_airflow(conn_id: str | None = None) -> PostgresConfig:
    """Read an Airflow connection, ``patterns_postgres`` by default. This imports Airflow.

    :raises ConfigurationError: it is not defined, or lacks a field
    """
    from code_patterns.hooks.postgres import PatternsPostgresHook

    return PatternsPostgresHook(conn_id or PatternsPostgresHook.default_conn_name).config


def asyncpg_arguments(config: PostgresConfig) -> dict[str, Any]:
    """Return what asyncpg needs in order to connect.

    :raises ConfigurationError: the connection has a parameter of libpq that asyncpg does not know
    """
    options: Mapping[str, Any] = config.options
    known = {*_TLS, *_SESSION, "connect_timeout", "target_session_attrs"}
    if unknown := sorted(options.keys() - known):
        raise ConfigurationError(
            f"{config.address} has the parameter '{unknown[0]}', which the storage layer cannot use. Remove it; usable "
            f"are {', '.join(sorted(known))}."
        )
    tls = {name: options[name] for name in _TLS if name in options}
    session = {name: str(options[name]) for name in _SESSION if name in options}
    arguments: dict[str, Any] = {
        # TLS files can be named in a URL only; what stands beside it is not repeated there.
        "dsn": f"postgresql:///?{urlencode(tls)}" if tls else None,
        "host": config.host,
        "port": config.port,
        "user": config.user,
        "database": config.database,
        # An empty password keeps asyncpg from looking for one in the environment and in ~/.pgpass.
        "password": config.password or "",
        "timeout": float(options.get("connect_timeout") or CONNECT_TIMEOUT_SECONDS),
        # Compiling a plan takes longer than these statements run; 4 MB are too few for the rows a frequent word finds.
        "server_settings": {"application_name": "pattern_learning", "jit": "off", "work_mem": "16MB", **session},
    }
    if "target_session_attrs" in options:
        arguments["target_session_attrs"] = options["target_session_attrs"]
    return arguments


def connection_failure(config: PostgresConfig, error: Exception) -> Exception:
    """Turn a failed connect or login into an error that names the connection.

    :return: :class:`ConfigurationError` when a person must act, :class:`OutageError` when the server may come back
    """
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, TimeoutError):
        reason = "no answer in time"
    text = f"PostgreSQL refused {config.address}: {reason}"
    if isinstance(error, asyncpg.CannotConnectNowError | asyncpg.TooManyConnectionsError):
        return OutageError(f"{text}. It may serve again shortly.")
    return ConfigurationError(f"{text}. Check host, port, database, user and password of '{config.conn_id}'.")
