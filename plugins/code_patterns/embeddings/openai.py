"""The protocol of OpenAI; vLLM, Text Embeddings Inference, llama.cpp and others speak it too."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.endpoint import endpoint


class OpenAI:
    """``POST /v1/embeddings``, as described in https://platform.openai.com/docs/api-reference/embeddings."""

    def endpoint(self, base_url: str) -> httpx.URL:
        """Return the URL to post to."""
        return endpoint(base_url, root="/v1/embeddings", tail="/embeddings")

    def request(self, config: EmbeddingConfig, texts: Sequence[str]) -> dict[str, Any]:
        """Return the request's body, without options that the connection does not set: not every server knows them."""
        body: dict[str, Any] = {"model": config.model, "input": texts}
        if config.send_dimensions:
            body["dimensions"] = config.dimension
        if config.encoding_format:
            body["encoding_format"] = config.encoding_format
        return body

    def vectors(self, answer: Mapping[str, Any]) -> Sequence[Any]:
        """Return the vectors of an answer, in the order of the texts.

        Some servers leave the indices out, or give every vector the same index. Their order is that of the texts.

        :raises KeyError: the answer holds none
        :raises ValueError: the indices are not those of the texts
        """
        items = answer["data"]
        indices = [item.get("index") for item in items]
        if any(index != indices[0] for index in indices):
            items = sorted(items, key=lambda item: item["index"])
            if [item["index"] for item in items] != list(range(len(items))):
                raise ValueError
        return [_decoded(item["embedding"]) for item in items]

    def missing_model(self, model: str) -> str:
        """Return what to do if the server does not know the model."""
        return f"Start it with the model '{model}', or set the connection's extra 'model' to one it serves"


def _decoded(vector: Any) -> Any:
    """Return the numbers of a vector: a JSON list, or little-endian 32-bit floats in base64."""
    return np.frombuffer(base64.b64decode(vector, validate=True), "<f4") if isinstance(vector, str) else vector
