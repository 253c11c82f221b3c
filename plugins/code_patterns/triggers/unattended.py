"""The trigger that starts the stream."""

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.hooks.secrets_backends import read_variable
from code_patterns.params import choose
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sync.sync_settings import SyncedCollection
from code_patterns.sync.unattended import unattended


class PatternsUnattendedTrigger(BaseEventTrigger):
    """Fires when changes wait that no stream takes; the event says no more than that.

    It asks PostgreSQL twice a second, once in two seconds while a stream is up. It fires at most once in 20 seconds,
    and less often while that changes nothing.

    :param postgres_conn_id: connection of the patterns' database
    :param collection: alias or collection; ``None`` for that of the Variable ``patterns_collection``
    :param target: the target's name; ``None`` for the target without one
    """

    def __init__(
        self,
        postgres_conn_id: str = PatternsPostgresHook.default_conn_name,
        collection: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.postgres_conn_id = postgres_conn_id
        self.collection = collection
        self.target = target

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Name the class and its arguments; Airflow makes the trigger of them in the triggerer."""
        arguments = {"postgres_conn_id": self.postgres_conn_id}
        # A triggerer that was not restarted does not know these yet.
        newer = {"collection": self.collection, "target": self.target}
        arguments |= {name: value for name, value in newer.items() if value}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire again and again; it never ends by itself."""
        async for _ in unattended(sync_to_async(self._read), self.target):
            yield TriggerEvent("changes wait")  # type: ignore[no-untyped-call]

    def _read(self) -> tuple[PostgresConfig, str]:
        return PatternsPostgresHook(self.postgres_conn_id).config, self.collection or self._of_variable()

    def _of_variable(self) -> str:
        return choose(SyncedCollection, {}, read_variable).name
