"""Check the Airflow connection of Qdrant and make a configuration of it."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionExtra, ConnectionFields, api_key_of
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_options import CollectionOptions, DecodedOptions
from code_patterns.servers.server_url import server_url
from code_patterns.servers.tls import refuse_key_alone
from code_patterns.typed_fields import NOT_BOOLEAN, File, Flag, Word

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
    ca_file: File = QdrantConfig.ca_file
    verify: Flag = QdrantConfig.verify
    cert_file: File = QdrantConfig.cert_file
    key_file: File = QdrantConfig.key_file
    collection: DecodedOptions | None = None


def qdrant_config(connection: ConnectionFields) -> QdrantConfig:
    """Check a connection.

    As in the client, an API key means HTTPS unless the extra ``https``, the schema or a full URL says otherwise. The
    default port is 6333.

    :raises ConfigurationError: it names no storage or two, or a value makes no sense
    """
    extra = QdrantExtra.read(connection)
    if "://" in extra.path:
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{connection.conn_id}' has a URL in extra 'path', which names a folder. Use the host.",
        )
    prefer_grpc = extra.prefer_grpc or extra.prefer_gprc
    if prefer_grpc and not extra.verify:
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{connection.conn_id}' has extra 'verify' = false, which gRPC cannot do. Name the server's "
            "certificate in extra 'ca_file' instead, or do without 'prefer_grpc'.",
        )
    refuse_key_alone(connection.conn_id, extra.cert_file, extra.key_file)
    return QdrantConfig(
        conn_id=connection.conn_id,
        url=_url(connection, extra),
        api_key=api_key_of(connection),
        path=extra.path,
        prefer_grpc=prefer_grpc,
        grpc_port=extra.grpc_port,
        timeout=extra.timeout,
        ca_file=extra.ca_file,
        verify=extra.verify,
        cert_file=extra.cert_file,
        key_file=extra.key_file,
        collection=extra.collection or CollectionOptions(),
    )


def _url(connection: ConnectionFields, extra: QdrantExtra) -> str:
    conn_id, typed, prefix = connection.conn_id, extra.url or connection.host, extra.prefix.strip("/")
    if not typed:
        return ""
    if extra.url and connection.host:
        raise ConfigurationError(
            Code.CONNECTION_WRONG, f"Connection '{conn_id}' has a host and the extra 'url'. Set one of them."
        )
    scheme = connection.schema.strip() or ("https" if connection.password else "http")
    if extra.https is not None:
        scheme = "https" if extra.https else "http"
    url = server_url(conn_id, typed, connection.port, scheme, REST_PORT)
    if extra.https and url.startswith("http:"):
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{conn_id}' has extra 'https' = true and a URL with http. Set one of them.",
        )
    parts = urlsplit(url)
    if parts.query:
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"The address of connection '{conn_id}' holds a query, the part from '?' on, which Qdrant does not take. "
            "Put an API key into the connection's password.",
        )
    if parts.path and prefix and parts.path.strip("/") != prefix:
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{conn_id}' has a path in its URL and another one in the extra 'prefix'. Set one of them.",
        )
    return url if parts.path or not prefix else f"{url}/{prefix}"
