"""The Airflow connection of the embedding server, checked and made into a configuration."""

from typing import Annotated

import httpx
from pydantic import Field

from code_patterns.embeddings.base import MAX_DIMENSION, Api, EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionExtra, ConnectionFields
from code_patterns.servers.server_url import server_url
from code_patterns.typed_fields import NOT_BOOLEAN, Word

OLLAMA_PORT = 11434


class EmbeddingExtra(ConnectionExtra):
    """The extra of a connection of type ``embedding``; every field is one of :class:`EmbeddingConfig`."""

    api: Api
    model: Word = ""
    dimension: Annotated[int, Field(ge=1, le=MAX_DIMENSION), NOT_BOOLEAN] = EmbeddingConfig.dimension
    document_prefix: str = ""
    query_prefix: str = ""
    concurrency: Annotated[int, Field(ge=1), NOT_BOOLEAN] = EmbeddingConfig.concurrency
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False), NOT_BOOLEAN] = EmbeddingConfig.timeout
    max_characters: Annotated[int, Field(ge=0), NOT_BOOLEAN] = EmbeddingConfig.max_characters


def embedding_config(connection: ConnectionFields) -> EmbeddingConfig:
    """Check a connection; Ollama's port is 11434 unless one is set.

    :raises ConfigurationError: it lacks a field, or holds a value that makes no sense; the message names connection,
        field and value
    """
    conn_id, extra = connection.conn_id, EmbeddingExtra.read(connection)
    options = extra.model_dump()
    if extra.api == "hashing":
        return EmbeddingConfig(conn_id, **options | {"model": extra.model or "hashing-v1"})
    if not extra.model:
        raise ConfigurationError(f"Connection '{conn_id}' names no model. Set its extra 'model'.")
    api_key = (connection.password or "").strip() or None
    if api_key and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise ConfigurationError(
            f"The password (API key) of connection '{conn_id}' holds a blank, a line break or a character beyond "
            "ASCII, which no HTTP header can carry. Enter the key again."
        )
    return EmbeddingConfig(conn_id, base_url=_base_url(connection, extra.api), api_key=api_key, **options)


def _base_url(connection: ConnectionFields, api: Api) -> str:
    conn_id, host, scheme = connection.conn_id, connection.host, connection.schema or "http"
    if not host:
        raise ConfigurationError(
            f"Connection '{conn_id}' names no server. Set its host (and port) to the {api} server."
        )
    bare = scheme == "http" and "://" not in host
    base_url = server_url(conn_id, host, connection.port or (OLLAMA_PORT if bare and api == "ollama" else None), scheme)
    url = httpx.URL(base_url)
    if url.scheme not in ("http", "https") or url.query or url.fragment:
        raise ConfigurationError(
            f"The host, port or schema of connection '{conn_id}' does not make a server's address. Set host and port, "
            "or a host such as 'https://host:port'."
        )
    if url.userinfo:
        raise ConfigurationError(
            f"The host of connection '{conn_id}' holds a user or a password, which would show in logs. Put the API key "
            "into the connection's password."
        )
    return base_url
