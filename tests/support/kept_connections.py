"""One connection to each database for what tests themselves ask of it: each asks dozens of times.

A new connection takes 8 ms of a processor, on both sides together, and half of all that the tests of the sync made
were for this. Whoever looks at sessions, or changes the settings with which one starts, calls :func:`forget` first.
"""

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

_KEPT: dict[str, psycopg.Connection] = {}


@contextmanager
def connected(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection in autocommit mode, without a transaction and without prepared statements.

    Threads get one of their own that is closed after its use: one may wait for what another does.
    """
    if threading.current_thread() is not threading.main_thread():
        with _new(dsn) as connection:
            yield connection
        return
    connection = _KEPT.pop(dsn, None)
    if connection is None or _was_ended(connection):
        connection = _new(dsn)
    try:
        yield connection
    finally:
        if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.close()
        else:
            _KEPT[dsn] = connection


def kept(dsn: str) -> str:
    """Another DSN of the same login and database whose connection is kept, or this one if there is none.

    :param dsn: names both
    """
    wanted = conninfo_to_dict(dsn)
    for other, connection in _KEPT.items():
        info = connection.info
        if not connection.closed and (info.user, info.dbname) == (wanted["user"], wanted["dbname"]):
            return other
    return dsn


def forget(database: str) -> None:
    """Close the connections to a database.

    :param database: its name
    """
    for dsn, connection in list(_KEPT.items()):
        if connection.closed or connection.info.dbname == database:
            del _KEPT[dsn]
            connection.close()


def _new(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None)


def _was_ended(connection: psycopg.Connection) -> bool:
    """Whether the server has sent something since the last answer; then that is its farewell."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
