"""What all embedders of a real model share: the prefixes that tell texts to store from questions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from code_patterns.embeddings.base import Embedded, EmbeddingConfig


class ModelEmbedder(ABC):
    """Embeds by a model, wherever it runs.

    :param config: model, prefixes and limits
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        self.config = config

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        """Embed texts to be stored; see :meth:`code_patterns.embeddings.base.Embedder.embed_documents`."""
        if not texts:
            return Embedded(np.empty((0, self.config.dimension), dtype=np.float32), [])
        return await self._embed(texts, self.config.document_prefix)

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed one search text, shape (dimension,)."""
        embedded = await self._embed([text], self.config.query_prefix)
        vector: NDArray[np.float32] = embedded.vectors[0]
        return vector

    @abstractmethod
    async def _embed(self, texts: Sequence[str], prefix: str) -> Embedded: ...
