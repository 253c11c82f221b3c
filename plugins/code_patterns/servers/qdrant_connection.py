"""The Airflow connection of Qdrant, checked and made into a configuration."""

from typing import Annotated

from pydantic import Field

from code_patterns.servers.connection_models import ConnectionExtra, ConnectionFields
from code_patterns.servers.qdrant import QdrantConfig
from code_patterns.servers.server_url import server_url
from code_patterns.typed_fields import NOT_BOOLEAN, Flag, Word

REST_PORT = 6333


class QdrantExtra(ConnectionExtra):
    """The extra of a connection of type ``qdrant``; ``prefer_gprc`` is how Airflow's own form spells it."""

    url: Word = ""
    https: Flag | None = None
    prefix: Word = ""
    path: str = ""
    grpc_port: Annotated[int, Field(ge=1, le=65535), NOT_BOOLEAN] = QdrantConfig.grpc_port
    prefer_grpc: Flag = False
    prefer_gprc: Flag = False
    timeout: Annotated[int, Field(ge=1), NOT_BOOLEAN] = QdrantConfig.timeout


def qdrant_config(connection: ConnectionFields) -> QdrantConfig:
    """Check a connection.

    As in the client, an API key means HTTPS unless the extra ``https``, the schema or a full URL disagrees.

    :raises ConfigurationError: it names no storage or two, or holds a value that makes no sense
    """
    extra = QdrantExtra.read(connection)
    https = extra.https
    if https is None:
        https = connection.schema == "https" if connection.schema else bool(connection.password)
    url, prefix = extra.url or connection.host, extra.prefix.strip("/")
    if url:
        url = server_url(connection.conn_id, url, connection.port or REST_PORT, "https" if https else "http")
    return QdrantConfig(
        conn_id=connection.conn_id,
        url=f"{url.rstrip('/')}/{prefix}" if url and prefix else url,
        api_key=connection.password or None,
        path=extra.path,
        prefer_grpc=extra.prefer_grpc or extra.prefer_gprc,
        grpc_port=extra.grpc_port,
        timeout=extra.timeout,
    )
