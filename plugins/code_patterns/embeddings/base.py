"""The interface of every embedder, and its configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import httpx
import numpy as np
from numpy.typing import NDArray

from code_patterns.codes import Code
from code_patterns.errors import PatternsError

Api = Literal["ollama", "openai", "fastembed", "hashing"]
EncodingFormat = Literal["", "float", "base64"]
HASHING_MODELS = "hashing"
"""How the names of all models of the api ``hashing`` begin, and of no other one: vectors of it and of a server can have
the same length."""
MAX_DIMENSION = 65_536
"""The longest vector that Qdrant stores."""

Vectors = NDArray[np.float32]
"""Vectors of one batch, shape (texts, dimension), every row finite and not all zero."""


@dataclass(frozen=True)
class EmbeddingConfig:
    """How texts become vectors.

    The prefixes are empty unless somebody sets them, whatever the model is. Readers of an existing collection embed
    their searches themselves, and a prefix on one side alone makes the distances worse.

    :param conn_id: name of the Airflow connection, used in messages
    :param api: protocol to speak
    :param model: model name as the server knows it
    :param dimension: length of every vector
    :param base_url: the server's address such as ``http://localhost:11434``, with path and query as typed; empty for
        ``fastembed`` and ``hashing``
    :param api_key: bearer token, or ``None``
    :param document_prefix: put before every stored text (``search_document: `` for ``nomic-embed-text``)
    :param query_prefix: put before every search text
    :param concurrency: requests in flight at once
    :param timeout: seconds to wait for one answer
    :param max_characters: texts are cut to this many characters before they are embedded; 0 cuts nothing
    :param ca_file: PEM file of the authorities to trust; empty for the machine's own
    :param verify: whether to check the server's certificate
    :param cert_file: PEM file of the client's certificate; empty for none
    :param key_file: PEM file of its private key; empty if ``cert_file`` holds it too
    :param proxy: URL of the proxy to go through, ``none`` for no proxy, or empty to follow the environment
    :param send_dimensions: ask the server for vectors of length ``dimension``; models of several lengths need it
    :param encoding_format: encoding of vectors to ask an OpenAI-compatible server for; empty asks for none
    :param path: folder with the files of a ``fastembed`` model; empty to look for the model by its name
    :param cache_dir: folder where ``fastembed`` keeps models by name; empty for its own default
    :param threads: threads of a ``fastembed`` model in one process
    """

    conn_id: str
    api: Api
    model: str
    dimension: int = 768
    base_url: str = field(default="", repr=False)
    api_key: str | None = field(default=None, repr=False)
    document_prefix: str = ""
    query_prefix: str = ""
    concurrency: int = 4
    timeout: float = 60.0
    max_characters: int = 0
    ca_file: str = ""
    verify: bool = True
    cert_file: str = ""
    key_file: str = ""
    proxy: str = field(default="", repr=False)
    send_dimensions: bool = False
    encoding_format: EncodingFormat = ""
    path: str = ""
    cache_dir: str = ""
    threads: int = 2

    @property
    def model_identity(self) -> str:
        """The model under one name: in Ollama a name without a tag means the tag ``latest``."""
        return self.model.removesuffix(":latest") if self.api == "ollama" else self.model

    @property
    def address(self) -> str:
        """The server in words, for messages: connection, host and port."""
        server = httpx.URL(self.base_url).netloc.decode("ascii") or "built in"
        return f"connection '{self.conn_id}' ({server})"


@dataclass(frozen=True)
class Embedded:
    """Texts as vectors.

    :param vectors: one row for each text, in order
    :param truncated: whether a text's vector is made of its beginning only, because the model or ``max_characters``
        takes no more
    """

    vectors: Vectors
    truncated: Sequence[bool]


class RejectedInputError(PatternsError):
    """The server works but refuses to embed this input; asking again does not help."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.TEXT_REFUSED, message)


class Embedder(Protocol):
    """Turns texts into vectors; concurrent calls from one event loop are safe."""

    @property
    def config(self) -> EmbeddingConfig:
        """The configuration of this embedder."""

    async def check(self) -> None:
        """Embed one word to check server, model, key and dimension; temporary errors are retried.

        :raises ConfigurationError: a person must act: key refused, model unknown, other dimension, certificate not
            trusted
        :raises OutageError: the server cannot be reached, is too busy or fails
        """

    @property
    def token_limit(self) -> int | None:
        """The longest text that the server takes, in estimated tokens; ``None`` while none was too long."""

    @property
    def slots(self) -> int:
        """How many batches it works on at once now."""

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        """Embed texts to be stored, in order; cut those that are too long, and retry temporary errors.

        :raises RejectedInputError: the server works but refuses this batch; the caller may split it
        :raises OutageError: every attempt failed
        :raises ConfigurationError: the server refuses key or model, or its vectors have another length
        """

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed one search text, shape (dimension,); errors as in :meth:`embed_documents`."""

    async def aclose(self) -> None:
        """Close connections."""
