"""The base of the sync's operators: three connections, and the settings."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.events.topics import Events
from code_patterns.hooks.configured import synced_collection
from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.hooks.kafka import PatternsKafkaHook
from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.hooks.secrets_backends import read_variable
from code_patterns.operators.stoppable import StoppableOperator
from code_patterns.params import is_set
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.sync_settings import Interval, Settings, choose
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget


class SyncOperator(StoppableOperator):
    """Base of the operators that work between PostgreSQL and Qdrant.

    An empty Param falls back to its Variable, then to the default.

    :param collection: alias or collection; Variable ``patterns_collection``, default ``code_patterns``
    :param limit: most rows to examine; empty means all
    :param dry_run_only: dry run: count what would be done, write nothing
    :param rollback: go back to the collection before a change of model, after syncing it
    :param take_over: let a full sync make a collection that belongs to another database this one's
    :param postgres_conn_id: connection of the patterns' database
    :param qdrant_conn_id: connection of Qdrant
    :param embedding_conn_id: connection of the embedding server
    :param kafka_config_id: connection of Kafka; without it there are no events
    :param default_collection: used instead of the Variable if ``collection`` is empty
    :param sync_target: whose run it is, and which rows that target has
    :param donors: collections in the same Qdrant that may hold the same vectors; ``None`` for that of the Variable
    """

    template_fields: Sequence[str] = ("collection", "limit", "dry_run_only", "rollback", "take_over")

    def __init__(
        self,
        *,
        collection: str | None = None,
        limit: int | str | None = None,
        dry_run_only: bool | str = False,
        rollback: bool | str = False,
        take_over: bool | str = False,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        qdrant_conn_id: str = PatternsQdrantHook.default_conn_name,
        embedding_conn_id: str = EmbeddingHook.default_conn_name,
        kafka_config_id: str = PatternsKafkaHook.default_conn_name,
        default_collection: str | None = None,
        sync_target: SyncTarget = WITHOUT_NAME,
        donors: Sequence[str | None] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.limit = limit
        self.dry_run_only = dry_run_only
        self.rollback = rollback
        self.take_over = take_over
        self.postgres_conn_id = postgres_conn_id
        self.qdrant_conn_id = qdrant_conn_id
        self.embedding_conn_id = embedding_conn_id
        self.kafka_config_id = kafka_config_id
        self.default_collection = default_collection
        self.sync_target = sync_target
        self.donors = donors

    def servers(self) -> tuple[PostgresConfig, QdrantConfig, EmbeddingConfig]:
        """The configurations of the three connections."""
        return (
            PatternsPostgresHook(self.postgres_conn_id).config,
            PatternsQdrantHook(self.qdrant_conn_id).config,
            EmbeddingHook(self.embedding_conn_id).config,
        )

    def events(self) -> Events | None:
        """Where events come from and go to; ``None`` without the connection."""
        return PatternsKafkaHook(self.kafka_config_id).events

    def choices(self, settings: type[Settings], mode: str, interval: Interval | None = None) -> Settings:
        """The settings of this run."""
        params = {name: getattr(self, name) for name in self.template_fields} | {"dry_run": self.dry_run_only}
        if not is_set(self.collection):
            params["collection"] = self.default_collection
        target = replace(self.sync_target, donors=tuple(self._named_donors()))
        return choose(settings, mode, params, interval, read_variable, target)

    def _named_donors(self) -> Iterator[str]:
        for name in self.donors:
            # A wrong Variable is the business of those whose collection it names.
            with suppress(ConfigurationError):
                yield name or synced_collection()
