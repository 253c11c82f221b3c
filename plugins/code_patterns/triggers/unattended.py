"""The trigger that starts the stream."""

from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import Variable
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from code_patterns.hooks.postgres import PatternsPostgresHook
from code_patterns.params import choose
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sync.sync_settings import SyncedCollection
from code_patterns.sync.unattended import unattended


class PatternsUnattendedTrigger(BaseEventTrigger):
    """Fires when changes wait that no stream takes; the event says no more than that.

    It asks PostgreSQL twice a second, once in two seconds while a stream is up. It fires at most once in 20 seconds,
    and less often while that changes nothing.

    :param postgres_conn_id: connection of the patterns' database
    """

    def __init__(self, postgres_conn_id: str = PatternsPostgresHook.default_conn_name) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.postgres_conn_id = postgres_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Name the class and its arguments; Airflow makes the trigger of them in the triggerer."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"postgres_conn_id": self.postgres_conn_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire again and again; it never ends by itself."""
        async for _ in unattended(sync_to_async(self._read)):
            yield TriggerEvent("changes wait")  # type: ignore[no-untyped-call]

    def _read(self) -> tuple[PostgresConfig, str]:
        written = choose(SyncedCollection, {}, lambda name: Variable.get(name, default=None))
        return PatternsPostgresHook(self.postgres_conn_id).config, written.name
