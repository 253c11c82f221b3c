"""The server that turns texts into vectors."""

import asyncio
from functools import cached_property
from typing import cast

from airflow.sdk import BaseHook

from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.base import Api, EmbeddingConfig
from code_patterns.errors import PatternsError
from code_patterns.hooks.airflow_connection import get_connection
from code_patterns.servers.connection_fields import Extras, server_url

OLLAMA_PORT = 11434
_EXTRAS = ("api", "model", "dimension", "document_prefix", "query_prefix", "concurrency", "timeout", "max_characters")
_CREATE = (
    "--conn-type embedding --conn-host HOST --conn-port 11434 "
    """--conn-extra '{"api": "ollama", "model": "nomic-embed-text", "dimension": 768}'"""
)


class EmbeddingHook(BaseHook):
    """A connection of type ``embedding``; its fields are those of the form in :mod:`code_patterns_provider`.

    :param embedding_conn_id: name of the Airflow connection
    """

    conn_name_attr = "embedding_conn_id"
    default_conn_name = "patterns_embeddings"
    conn_type = "embedding"
    hook_name = "Embedding server"

    def __init__(self, embedding_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.embedding_conn_id = embedding_conn_id

    @cached_property
    def config(self) -> EmbeddingConfig:
        """The connection, checked; Ollama's port is 11434 unless one is set.

        :raises ConfigurationError: it is not defined, lacks a field, or holds a value that makes no sense
        """
        conn_id = self.embedding_conn_id
        connection = get_connection(conn_id, _CREATE)
        extras = Extras.parse(conn_id, connection.extra)
        extras.refuse_unknown(set(_EXTRAS), f"known are {', '.join(_EXTRAS)}")
        api, host, scheme = extras.text("api").strip(), connection.host or "", connection.schema or "http"
        bare = scheme == "http" and "://" not in host
        port = connection.port or (OLLAMA_PORT if bare and api == "ollama" else None)
        return EmbeddingConfig(
            conn_id=conn_id,
            api=cast("Api", api),
            model=extras.text("model", "hashing-v1" if api == "hashing" else "").strip(),
            dimension=extras.whole_number("dimension", EmbeddingConfig.dimension),
            base_url=server_url(conn_id, host, port, scheme) if host and api != "hashing" else "",
            api_key=(connection.password or "").strip() or None,
            document_prefix=extras.text("document_prefix"),
            query_prefix=extras.text("query_prefix"),
            concurrency=extras.whole_number("concurrency", EmbeddingConfig.concurrency),
            timeout=extras.number("timeout", EmbeddingConfig.timeout),
            max_characters=extras.whole_number("max_characters", EmbeddingConfig.max_characters),
        )

    def test_connection(self) -> tuple[bool, str]:
        """Embed one word; the answer names the connection and, on failure, the remedy."""
        try:
            return True, asyncio.run(self._embed_one_word())
        except PatternsError as error:
            return False, str(error)

    async def _embed_one_word(self) -> str:
        embedder = open_embedder(self.config)
        try:
            await embedder.check()
        finally:
            await embedder.aclose()
        return (
            f"Embedded one word: {self.config.address}, model '{self.config.model}', "
            f"{self.config.dimension} dimensions."
        )
