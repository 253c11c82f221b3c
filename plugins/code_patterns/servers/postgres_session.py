"""What every session has in common, whatever role, database and environment say."""

import os
import threading
import types
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from code_patterns.errors import ConfigurationError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sql import query

SETTLE = query("session_settle")
"""The first statement of every session: settings that depend on the server, and the schema of the tables."""

Result = TypeVar("Result")

_environment = threading.Lock()


def refuse_disputed(config: PostgresConfig, schema: str | None) -> None:
    """Check that it is clear which tables are meant.

    :param schema: the first column that :data:`SETTLE` returned
    :raises ConfigurationError: the search_path of role or database names one schema, and ``public`` has such tables too
    """
    if schema is not None and "search_path" not in str(config.options.get("options", "")):
        raise ConfigurationError(
            f"The tables pattern_* are in schema {schema} of {config.address}, and in schema public as well. Say which "
            f"are meant: give '{config.conn_id}' the extra 'options' = '-c search_path={schema}' or "
            "'-c search_path=public'."
        )


@contextmanager
def without_environment() -> Iterator[None]:
    """Hide the variables ``PG*`` of this process; libpq and asyncpg fill in from them what a connection leaves open.

    No connection parameter can override some of them, such as ``PGSERVICE`` and ``PGTZ``. Code inside must not wait.
    """
    with _environment:
        hidden = {name: value for name, value in os.environ.items() if name.startswith("PG")}
        for name in hidden:
            del os.environ[name]
        try:
            yield
        finally:
            os.environ.update(hidden)


@types.coroutine
def undisturbed(steps: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:
    """Run the steps of connecting, each without the environment; wait between them with it.

    :param steps: a generator of psycopg, or what ``__await__`` of asyncpg's coroutine returns
    """
    step, value = steps.send, None
    while True:
        with without_environment():
            try:
                wanted = step(value)
            except StopIteration as end:
                result: Result = end.value
                return result
        try:
            value = yield wanted
            step = steps.send
        except BaseException as error:
            value, step = error, steps.throw
