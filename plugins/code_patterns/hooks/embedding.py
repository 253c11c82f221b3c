"""The server that turns texts into vectors."""

import asyncio
from functools import cached_property

from airflow.sdk import BaseHook

from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.connection import embedding_config
from code_patterns.errors import PatternsError
from code_patterns.hooks.airflow_connection import read_connection
from code_patterns.servers.retry import RetryPolicy

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
        """The connection, checked.

        :raises ConfigurationError: it is not defined, lacks a field, or holds a value that makes no sense
        """
        return embedding_config(read_connection(self.embedding_conn_id, _CREATE))

    def test_connection(self) -> tuple[bool, str]:
        """Embed one word; the answer names the connection and, on failure, the remedy."""
        try:
            return True, asyncio.run(self._embed_one_word())
        except PatternsError as error:
            return False, str(error)

    async def _embed_one_word(self) -> str:
        # Somebody waits in front of the form.
        embedder = open_embedder(self.config, retry=RetryPolicy(attempts=2, total=5))
        try:
            await embedder.check()
        finally:
            await embedder.aclose()
        return (
            f"Embedded one word: {self.config.address}, model '{self.config.model}', "
            f"{self.config.dimension} dimensions."
        )
