"""Make the commands that create the Airflow connections and Variables; secrets stay in the file they are in."""

import shlex
from collections.abc import Iterator

from code_patterns.adopt.old_environment import OldConnection, OldEnvironment


def commands(old: OldEnvironment, collection: str) -> Iterator[str]:
    """Yield shell commands, one a line, to be run in one shell.

    :param old: what the file says
    :param collection: alias or collection in Qdrant
    """
    # A path without a slash would be looked up in PATH.
    path = str(old.path) if "/" in str(old.path) else f"./{old.path}"
    yield f"set -a; . {shlex.quote(path)}; set +a"
    for connection in (old.postgres, old.qdrant, old.embeddings):
        yield _add(connection)
    yield f"airflow variables set patterns_collection {shlex.quote(collection)}"


def _add(connection: OldConnection) -> str:
    fields = connection.fields
    add = f"airflow connections add {fields.conn_id}"
    if connection.whole:
        return f'{add} --conn-uri "${connection.whole}"'
    arguments = {
        "type": connection.conn_type,
        "host": "" if connection.address else fields.host,
        "port": fields.port,
        "schema": fields.schema,
        "login": fields.login,
        "extra": fields.extra,
    }
    typed = [f"--conn-{name} {shlex.quote(str(value))}" for name, value in arguments.items() if value]
    named = {"host": connection.address, "password": connection.secret}
    secret = [f'--conn-{name} "${variable}"' for name, variable in named.items() if variable]
    return " ".join([add, *typed, *secret])
