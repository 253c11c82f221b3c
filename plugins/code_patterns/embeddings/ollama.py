"""The protocol of Ollama."""

from collections.abc import Mapping, Sequence
from typing import Any


class Ollama:
    """``POST /api/embed``, as described in https://github.com/ollama/ollama/blob/main/docs/api.md."""

    def url(self, base_url: str) -> str:
        """Return the address to post to."""
        return f"{base_url.rstrip('/')}/api/embed"

    def request(self, model: str, texts: Sequence[str]) -> dict[str, Any]:
        """Return the request's body; texts beyond the model's context are truncated by the server."""
        return {"model": model, "input": texts, "truncate": True}

    def vectors(self, answer: Mapping[str, Any]) -> Sequence[Any]:
        """Return the vectors of an answer, in the order of the texts.

        :raises KeyError: the answer holds none
        """
        vectors: Sequence[Any] = answer["embeddings"]
        return vectors

    def missing_model(self, model: str) -> str:
        """Return what to do when the server does not know the model."""
        return f"Run 'ollama pull {model}' on the server"
