"""The hook of the embedding server."""

import asyncio
from functools import cached_property

from airflow.sdk import BaseHook

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.connection import embedding_config
from code_patterns.hooks.airflow_connection import read_connection, tested
from code_patterns.probes import probe_embedding

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
        """The checked connection.

        :raises ConfigurationError: it is not defined, a field is missing, or a value makes no sense
        """
        return embedding_config(read_connection(self.embedding_conn_id, _CREATE))

    def test_connection(self) -> tuple[bool, str]:
        """Embed one text; see :mod:`code_patterns.probes`."""
        return tested(self.embedding_conn_id, lambda: asyncio.run(probe_embedding(self.config)))
