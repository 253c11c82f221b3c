"""Read an Airflow connection, or say how to create it."""

import os
import re
from collections.abc import Callable

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, PatternsError
from code_patterns.hooks.secrets_backends import refuse_silence
from code_patterns.servers.connection_models import ConnectionFields


def read_connection(conn_id: str, create_with: str) -> ConnectionFields:
    """Return an Airflow connection.

    :param conn_id: its name
    :param create_with: arguments of ``airflow connections add`` that make such a connection, for the message
    :raises ConfigurationError: there is no such connection, or it cannot be read
    """
    if found := find_connection(conn_id):
        return found
    raise ConfigurationError(
        Code.CONNECTION_MISSING,
        f"Connection '{conn_id}' is not defined. Create it under Admin > Connections, or with: "
        f"airflow connections add {conn_id} {create_with}",
    )


def find_connection(conn_id: str) -> ConnectionFields | None:
    """Return an Airflow connection, or ``None`` if there is none.

    :raises ConfigurationError: it cannot be read
    :raises OutageError: Airflow could not say whether there is one
    """
    try:
        typed = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        variable = f"AIRFLOW_CONN_{conn_id.upper()}"
        if variable in os.environ:
            # Airflow ignores a value that it cannot read.
            raise ConfigurationError(
                Code.CONNECTION_WRONG,
                f"Connection '{conn_id}' cannot be read from the environment variable {variable}. "
                "Write it as JSON with the fields conn_type, host, port, schema, login, password, extra.",
            ) from None
        refuse_silence(conn_id)
        return None
    return ConnectionFields(
        conn_id=conn_id,
        host=typed.host or "",
        port=typed.port,
        schema=typed.schema or "",
        login=typed.login or "",
        password=typed.password,
        extra=typed.extra,
    )


def tested(conn_id: str, probe: Callable[[], str]) -> tuple[bool, str]:
    """Test a connection; the answer says what was found, or what is wrong and what to do.

    :param conn_id: name of the connection; Airflow's form uses a random one, so the answer does not show it
    :param probe: asks the server
    """
    try:
        return True, probe()
    except PatternsError as error:
        return False, nameless(str(error), conn_id)


def nameless(message: str, conn_id: str) -> str:
    """Return a message with "this connection" instead of the name."""
    name = re.escape(f"'{conn_id}'")
    message = re.sub(f"Connection {name}", "This connection", message)
    return re.sub(f"(connection )?{name}", "this connection", message)
