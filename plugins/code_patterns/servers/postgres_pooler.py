"""What stands between us and PostgreSQL: recognise a pooler, by values, and refuse one that shares server processes.

A pooler makes up the process id that it reports when a session starts. In session mode the session then has a server
process of its own. In transaction mode another session gets the same process as soon as this one is idle.
"""

import json
from collections.abc import Generator, Mapping
from typing import Any

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.postgres import PINNED, PostgresConfig

Row = Any
Step = tuple[str, tuple[str, ...]]
"""A query of ``include/sql`` and its parameters."""
ANOTHER: Step = ("", ())
"""The step that opens another session for a moment, and gives its server process; ``None`` if it got none in time."""


def is_refused_at_start(error: BaseException | None) -> bool:
    """Whether a session could not start as a pooler does not know its settings; they can be set later."""
    return getattr(error, "sqlstate", None) == "08P01"


def behind_pooler(config: PostgresConfig, process: int, settings: Mapping[str, str]) -> Generator[Step, Row, None]:
    """Make sure that a session behind a pooler keeps its server process, and set what the pooler did not pass on.

    :param process: server process of this session
    :param settings: settings in addition to those of every session
    :raises ConfigurationError: the pooler shares server processes, or the connection's own options may be lost
    """
    if config.options.get("options"):
        raise ConfigurationError(
            Code.POOLER_IN_THE_WAY,
            f"{config.address} is behind a pooler, which may drop the extra 'options'. Remove it from "
            f"'{config.conn_id}' and set the same for the role (ALTER ROLE ... SET), or name the port of PostgreSQL "
            "itself.",
        )
    [other] = yield ANOTHER
    [now] = yield "session_process", ()
    if process == other or process != now:
        raise shared_process(config)
    yield "session_pin", (json.dumps({**PINNED, **settings}),)


def shared_process(config: PostgresConfig) -> ConfigurationError:
    """Make the error for a pooler whose sessions share server processes."""
    return ConfigurationError(
        Code.POOLER_IN_THE_WAY,
        f"{config.address} is behind a pooler in transaction mode: another session was given the server process of "
        f"this one, so locks and settings do not hold. Name in '{config.conn_id}' the port of PostgreSQL itself, or a "
        "pool in session mode (PgBouncer: pool_mode = session).",
    )
