"""The three connections and the collection, for everything that only reads patterns."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.hooks.secrets_backends import read_variable
from code_patterns.params import choose
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.sync_settings import SyncedCollection
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget
from code_patterns.sync.targets_file import read_targets


@dataclass(frozen=True)
class Configured:
    """What Airflow's connections and Variables say, or a target of the targets file.

    :param postgres: the patterns' database
    :param qdrant: Qdrant
    :param embedding: the embedding server or model
    :param collection: alias or collection that the sync writes
    :param target: whose collection it is
    """

    postgres: PostgresConfig
    qdrant: QdrantConfig
    embedding: EmbeddingConfig
    collection: str
    target: SyncTarget = WITHOUT_NAME


def configured(
    *,
    postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
    qdrant_conn_id: str = PatternsQdrantHook.default_conn_name,
    embedding_conn_id: str = EmbeddingHook.default_conn_name,
) -> Configured:
    """Read connections and Variables, as the sync does.

    :raises ConfigurationError: one of them is missing or makes no sense
    """
    return _configured(postgres_conn_id, qdrant_conn_id, embedding_conn_id, synced_collection())


def configured_target(name: str) -> Configured:
    """Read the connections and the collection of a target, as its DAGs do.

    :param name: that of the targets file; empty for the target without a name
    :raises ConfigurationError: the file has no such target or is wrong, or a connection or Variable is missing or makes
        no sense
    """
    if not name:
        return configured()
    for target in read_targets(os.environ):
        if target.name == name:
            used = target.connections
            return _configured(used.postgres, used.qdrant, used.embeddings, target.collection, target.sync_target)
    raise ConfigurationError(
        Code.REQUEST_WRONG,
        f"There is no target '{name[:50]}' in the targets file that this process reads. Correct the name, or add it "
        "to the file.",
    )


def _configured(
    postgres: str, qdrant: str, embeddings: str, collection: str, target: SyncTarget = WITHOUT_NAME
) -> Configured:
    return Configured(
        PatternsPostgresHook(postgres).config,
        PatternsQdrantHook(qdrant).config,
        EmbeddingHook(embeddings).config,
        collection,
        target,
    )


def target_names() -> Sequence[str]:
    """Names of all targets: first the empty one, which stands for the target without a name.

    :raises ConfigurationError: the targets file is wrong
    """
    return "", *(target.name for target in read_targets(os.environ))


def synced_collection() -> str:
    """The collection that the Variable ``patterns_collection`` names, or the default.

    :raises ConfigurationError: it makes no sense
    """
    return choose(SyncedCollection, {}, read_variable).name
