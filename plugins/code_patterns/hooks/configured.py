"""The three connections and the collection, for everything that only reads patterns."""

from dataclasses import dataclass

from airflow.sdk import Variable

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.params import choose
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.sync_settings import SyncedCollection


@dataclass(frozen=True)
class Configured:
    """What Airflow's connections and Variables say.

    :param postgres: the patterns' database
    :param qdrant: Qdrant
    :param embedding: the embedding server or model
    :param collection: alias or collection that the sync writes
    """

    postgres: PostgresConfig
    qdrant: QdrantConfig
    embedding: EmbeddingConfig
    collection: str


def configured(
    *,
    postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
    qdrant_conn_id: str = PatternsQdrantHook.default_conn_name,
    embedding_conn_id: str = EmbeddingHook.default_conn_name,
) -> Configured:
    """Read connections and Variables, as the sync does.

    :raises ConfigurationError: one of them is missing or makes no sense
    """
    return Configured(
        PatternsPostgresHook(postgres_conn_id).config,
        PatternsQdrantHook(qdrant_conn_id).config,
        EmbeddingHook(embedding_conn_id).config,
        synced_collection(),
    )


def synced_collection() -> str:
    """The collection that the Variable ``patterns_collection`` names, or the default.

    :raises ConfigurationError: it makes no sense
    """
    return choose(SyncedCollection, {}, lambda name: Variable.get(name, default=None)).name
