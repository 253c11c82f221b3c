"""Fetch a connection, or say how to create it."""

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from code_patterns.errors import ConfigurationError


def get_connection(conn_id: str, create_with: str) -> Connection:
    """Return an Airflow connection.

    :param conn_id: its name
    :param create_with: arguments of ``airflow connections add`` that make such a connection, for the message
    :raises ConfigurationError: there is no such connection, or it cannot be read
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"Connection '{conn_id}' is not defined. Create it under Admin > Connections, or with: "
            f"airflow connections add {conn_id} {create_with}"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"Connection '{conn_id}' cannot be read: {error}. Enter it again.") from None
