"""The hook of Qdrant."""

import asyncio
from functools import cached_property

from airflow.providers.qdrant.hooks.qdrant import QdrantHook
from qdrant_client import QdrantClient

from code_patterns.hooks.airflow_connection import read_connection, tested
from code_patterns.hooks.secrets_backends import read_variable
from code_patterns.params import choose
from code_patterns.probes import probe_qdrant
from code_patterns.servers.qdrant import client_arguments
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_connection import qdrant_config
from code_patterns.sync.sync_settings import SyncedCollection

_CREATE = "--conn-type qdrant --conn-host HOST --conn-port 6333 --conn-password API_KEY"


class PatternsQdrantHook(QdrantHook):
    """The provider's hook; it also knows an embedded storage (extra ``path``) and a ``timeout``.

    :param conn_id: Airflow connection of type ``qdrant``
    """

    default_conn_name = "patterns_qdrant"

    def __init__(self, conn_id: str = default_conn_name) -> None:
        super().__init__(conn_id=conn_id)

    @cached_property
    def config(self) -> QdrantConfig:
        """The checked connection.

        :raises ConfigurationError: it is not defined, names no storage or two, or a value makes no sense
        """
        return qdrant_config(read_connection(self.conn_id, _CREATE))

    def get_conn(self) -> QdrantClient:
        """Open a client of the server or embedded storage."""
        config = self.config
        if config.path:
            return QdrantClient(path=config.path)
        return QdrantClient(**client_arguments(config))

    def verify_connection(self) -> tuple[bool, str]:
        """Ask for version, collections and the patterns' collection; see :mod:`code_patterns.probes`."""

        def probe() -> str:
            written = choose(SyncedCollection, {}, read_variable)
            return asyncio.run(probe_qdrant(self.config, written.name))

        return tested(self.conn_id, probe)
