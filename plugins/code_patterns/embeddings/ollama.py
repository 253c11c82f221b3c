"""The protocol of Ollama."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.endpoint import endpoint


class Ollama:
    """``POST /api/embed``, as described in https://github.com/ollama/ollama/blob/main/docs/api.md."""

    def endpoint(self, base_url: str) -> httpx.URL:
        """Return the URL to post to."""
        return endpoint(base_url, root="/api/embed", tail="/api/embed")

    def request(self, config: EmbeddingConfig, texts: Sequence[str]) -> dict[str, Any]:
        """Return the request's body.

        It tells the server not to cut texts that are too long for the model: nobody would know which it cut.
        """
        body: dict[str, Any] = {"model": config.model, "input": texts, "truncate": False}
        if config.send_dimensions:
            body["dimensions"] = config.dimension
        return body

    def vectors(self, answer: Mapping[str, Any]) -> Sequence[Any]:
        """Return the vectors of an answer, in the order of the texts.

        :raises KeyError: the answer holds none
        """
        vectors: Sequence[Any] = answer["embeddings"]
        return vectors

    def missing_model(self, model: str) -> str:
        """Return what to do if the server does not know the model."""
        return f"Run 'ollama pull {model}' on the server"
