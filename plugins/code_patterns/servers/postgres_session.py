"""What every session has in common, whatever role, database and environment say."""

import os
import threading
import types
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_pooler import ANOTHER, Row, Step, behind_pooler

Result = TypeVar("Result")

# The garbage collector may end an abandoned attempt to connect in the middle of another one, in the same thread.
_environment = threading.RLock()


def settling(
    config: PostgresConfig, reported: int, settings: Mapping[str, str] | None = None
) -> Generator[Step, Row, None]:
    """Settle a new session: the steps for either driver, each of which gets its row.

    :param reported: the server process that the server named when the session started
    :param settings: settings in addition to those of every session
    :raises ConfigurationError: a pooler shares the session, or two schemas have these tables
    """
    [process] = yield "session_process", ()
    if process != reported:
        yield from behind_pooler(config, process, settings or {})
    [disputed, *_] = yield "session_settle", ()
    _refuse_disputed(config, disputed)


async def settle(
    steps: Generator[Step, Row, None],
    fetch: Callable[..., Awaitable[Row]],
    another: Callable[[], Awaitable[int | None]],
) -> None:
    """Take the steps of :func:`settling`.

    :param fetch: runs a query with its parameters, and returns the first row
    :param another: opens another session, and returns its server process
    """
    row: Row = None
    with suppress(StopIteration):
        while True:
            step = steps.send(row)
            row = (await another(),) if step is ANOTHER else await fetch(step[0], *step[1])


def settle_blocking(
    steps: Generator[Step, Row, None], fetch: Callable[..., Row], another: Callable[[], int | None]
) -> None:
    """Take the steps in code without an event loop; see :func:`settle`."""
    row: Row = None
    with suppress(StopIteration):
        while True:
            step = steps.send(row)
            row = (another(),) if step is ANOTHER else fetch(step[0], *step[1])


def _refuse_disputed(config: PostgresConfig, schema: str | None) -> None:
    """Check that it is clear which tables are meant.

    :param schema: the first column of ``session_settle.sql``
    :raises ConfigurationError: the search_path of role or database names one schema, and ``public`` has such tables too
    """
    if schema is not None and "search_path" not in str(config.options.get("options", "")):
        raise ConfigurationError(
            Code.SEARCH_PATH_WRONG,
            f"The tables pattern_* are in schema {schema} of {config.address}, and in schema public as well. Say which "
            f"are meant: give '{config.conn_id}' the extra 'options' = '-c search_path={schema}' or "
            "'-c search_path=public'.",
        )


@contextmanager
def without_environment() -> Iterator[None]:
    """Hide the variables ``PG*`` of this process; libpq and asyncpg fill in from them what a connection leaves open.

    Code inside must not wait: other threads miss the variables meanwhile.
    """
    # Explicit parameters are not enough: libpq takes an empty ``service`` as the name of a service that is missing, and
    # without one it reads PGSERVICE. PGTZ, PGDATESTYLE and PGGEQO are no parameters, and win over ``options``.
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
            finally:
                # An error's traceback holds this frame.
                value = None
        try:
            value = yield wanted
            step = steps.send
        except BaseException as error:
            value, step = error, steps.throw
