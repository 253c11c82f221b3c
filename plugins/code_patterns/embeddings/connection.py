"""Check the Airflow connection of the embedding server and make a configuration of it."""

from typing import Annotated

from pydantic import Field

from code_patterns.codes import Code
from code_patterns.embeddings.base import HASHING_MODELS, MAX_DIMENSION, Api, EmbeddingConfig, EncodingFormat
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionExtra, ConnectionFields, api_key_of
from code_patterns.servers.server_url import server_url
from code_patterns.servers.tls import refuse_key_alone
from code_patterns.typed_fields import NOT_BOOLEAN, File, Flag, Word

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
    ca_file: File = EmbeddingConfig.ca_file
    cert_file: File = EmbeddingConfig.cert_file
    key_file: File = EmbeddingConfig.key_file
    verify: Flag = EmbeddingConfig.verify
    proxy: Word = ""
    send_dimensions: Flag = EmbeddingConfig.send_dimensions
    encoding_format: EncodingFormat = EmbeddingConfig.encoding_format
    path: Word = ""
    cache_dir: Word = ""
    threads: Annotated[int, Field(ge=1, le=64), NOT_BOOLEAN] = EmbeddingConfig.threads


_OF_ONE_API = {"encoding_format": "openai", "path": "fastembed", "cache_dir": "fastembed"}
"""Extras that other apis do not know."""


def embedding_config(connection: ConnectionFields) -> EmbeddingConfig:
    """Check a connection; the default port of Ollama is 11434.

    :raises ConfigurationError: a field is missing or makes no sense; the message names connection, field and value
    """
    conn_id, extra = connection.conn_id, EmbeddingExtra.read(connection)
    options = extra.model_dump()
    for name, api in _OF_ONE_API.items():
        if options[name] and extra.api != api:
            raise ConfigurationError(
                Code.CONNECTION_WRONG,
                f"Connection '{conn_id}' has extra '{name}', which only the api '{api}' knows. Remove it.",
            )
    refuse_key_alone(conn_id, extra.cert_file, extra.key_file)
    if extra.api == "hashing":
        model = extra.model or "hashing-v1"
        if not model.startswith(HASHING_MODELS):
            # Under the name of a server's model its vectors would be taken for those of that one.
            model = f"{HASHING_MODELS}-{model}"
        return EmbeddingConfig(conn_id, **options | {"model": model})
    if not extra.model:
        raise ConfigurationError(
            Code.CONNECTION_WRONG, f"Connection '{conn_id}' names no model. Set its extra 'model'."
        )
    if extra.api == "fastembed":
        return EmbeddingConfig(conn_id, **options)
    return EmbeddingConfig(
        conn_id, base_url=_base_url(connection, extra.api), api_key=api_key_of(connection), **options
    )


def _base_url(connection: ConnectionFields, api: Api) -> str:
    host, scheme = connection.host, connection.schema or "http"
    if not host:
        raise ConfigurationError(
            Code.CONNECTION_WRONG,
            f"Connection '{connection.conn_id}' names no server. Set its host (and port) to the {api} server.",
        )
    bare = scheme == "http" and "://" not in host
    return server_url(
        connection.conn_id, host, connection.port, scheme, OLLAMA_PORT if bare and api == "ollama" else None
    )
