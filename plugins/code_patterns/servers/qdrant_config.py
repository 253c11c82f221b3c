"""The address of Qdrant."""

from dataclasses import dataclass, field

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant_options import CollectionOptions


@dataclass(frozen=True)
class QdrantConfig:
    """The address of a Qdrant server or embedded storage.

    :param conn_id: name of the Airflow connection, used in messages
    :param url: the server's address such as ``http://localhost:6333``, with the path prefix of its REST interface;
        without a port the scheme's; empty if ``path`` is given
    :param api_key: API key, or ``None``
    :param path: folder of an embedded storage, which one process at a time can open; empty for a server
    :param prefer_grpc: use gRPC if the client can
    :param grpc_port: its port
    :param timeout: seconds to wait for one answer
    :param ca_file: PEM file of the authorities to trust; empty for the machine's own
    :param verify: whether to check the server's certificate
    :param cert_file: PEM file of the client's certificate; empty for none
    :param key_file: PEM file of its private key; empty if ``cert_file`` holds it too
    :param collection: what the sync sets on its collections
    """

    conn_id: str
    url: str = ""
    api_key: str | None = field(default=None, repr=False)
    path: str = ""
    prefer_grpc: bool = False
    grpc_port: int = 6334
    timeout: int = 30
    ca_file: str = ""
    verify: bool = True
    cert_file: str = ""
    key_file: str = ""
    collection: CollectionOptions = field(default_factory=CollectionOptions)

    def __post_init__(self) -> None:
        """Refuse a connection without an address: the client would silently use localhost."""
        if bool(self.url) == bool(self.path):
            raise ConfigurationError(
                Code.CONNECTION_WRONG,
                f"Connection '{self.conn_id}' must name either a server (host and port, or extra 'url') or an "
                f"embedded storage (extra 'path'); it names {'both' if self.url else 'neither'}.",
            )

    @property
    def address(self) -> str:
        """The storage in words, for messages."""
        return f"connection '{self.conn_id}' ({self.url or self.path})"
