"""The Qdrant server, or embedded storage, that holds the points."""

import asyncio
from functools import cached_property

from airflow.providers.qdrant.hooks.qdrant import QdrantHook
from qdrant_client import QdrantClient

from code_patterns.errors import PatternsError
from code_patterns.hooks.airflow_connection import get_connection
from code_patterns.servers.connection_fields import Extras, server_url
from code_patterns.servers.qdrant import QdrantConfig, explain, open_client

REST_PORT = 6333
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

        As in the client, an API key means HTTPS unless the extra ``https``, the schema or a full URL disagrees.

        :raises ConfigurationError: it is not defined, names no place or two, or holds a value that makes no sense
        """
        connection = get_connection(self.conn_id, _CREATE)
        extras = Extras.parse(self.conn_id, connection.extra)
        https = extras.flag("https")
        if https is None:
            https = connection.schema == "https" if connection.schema else bool(connection.password)
        url, prefix = extras.text("url") or connection.host or "", extras.text("prefix").strip("/")
        if url:
            url = server_url(self.conn_id, url, connection.port or REST_PORT, "https" if https else "http")
        return QdrantConfig(
            conn_id=self.conn_id,
            url=f"{url.rstrip('/')}/{prefix}" if url and prefix else url,
            api_key=connection.password or None,
            path=extras.text("path"),
            prefer_grpc=bool(extras.flag("prefer_gprc") or extras.flag("prefer_grpc")),
            grpc_port=extras.whole_number("grpc_port", 6334, least=1),
            timeout=extras.whole_number("timeout", 30, least=1),
        )

    def get_conn(self) -> QdrantClient:
        """Open a client, for an embedded storage as well."""
        place = self.config
        if place.path:
            return QdrantClient(path=place.path)
        url, key, timeout = place.url, place.api_key, place.timeout
        grpc, port = place.prefer_grpc, place.grpc_port
        return QdrantClient(url=url, api_key=key, timeout=timeout, prefer_grpc=grpc, grpc_port=port)

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
