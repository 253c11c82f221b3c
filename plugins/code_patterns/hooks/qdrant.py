"""The Qdrant server, or embedded storage, that holds the points."""

import asyncio
from functools import cached_property

from airflow.providers.qdrant.hooks.qdrant import QdrantHook
from qdrant_client import QdrantClient

from code_patterns.errors import PatternsError
from code_patterns.hooks.airflow_connection import read_connection
from code_patterns.servers.qdrant import client_arguments, open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_connection import qdrant_config
from code_patterns.servers.qdrant_errors import explain

_CREATE = "--conn-type qdrant --conn-host HOST --conn-port 6333 --conn-password API_KEY"


class PatternsQdrantHook(QdrantHook):
    """The provider's hook, which also knows an embedded storage (extra ``path``) and a ``timeout``.

    :param conn_id: Airflow connection of type ``qdrant``
    """

    default_conn_name = "patterns_qdrant"

    def __init__(self, conn_id: str = default_conn_name) -> None:
        super().__init__(conn_id=conn_id)

    @cached_property
    def config(self) -> QdrantConfig:
        """The connection, checked.

        :raises ConfigurationError: it is not defined, names no storage or two, or holds a value that makes no sense
        """
        return qdrant_config(read_connection(self.conn_id, _CREATE))

    def get_conn(self) -> QdrantClient:
        """Open a client, for an embedded storage as well."""
        config = self.config
        if config.path:
            return QdrantClient(path=config.path)
        return QdrantClient(**client_arguments(config))

    def verify_connection(self) -> tuple[bool, str]:
        """List the collections; the answer names the connection and, on failure, the remedy."""
        try:
            return True, asyncio.run(self._list_collections())
        except PatternsError as error:
            return False, str(error)

    async def _list_collections(self) -> str:
        client = await open_client(self.config, wait_seconds=5)
        try:
            names = sorted(collection.name for collection in (await client.get_collections()).collections)
        except Exception as error:
            raise explain(self.config, "listing the collections", error) from None
        finally:
            await client.close()
        return f"Reached {self.config.address}; collections: {', '.join(names) or 'none yet'}."
