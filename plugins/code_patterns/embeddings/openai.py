"""The protocol of OpenAI, which vLLM, Text Embeddings Inference, llama.cpp and others speak too."""

from collections.abc import Mapping, Sequence
from typing import Any


class OpenAI:
    """``POST /v1/embeddings``, as described in https://platform.openai.com/docs/api-reference/embeddings."""

    def url(self, base_url: str) -> str:
        """Return the address to post to; servers are named with and without ``/v1`` at the end."""
        root = base_url.rstrip("/").removesuffix("/v1")
        return f"{root}/v1/embeddings"

    def request(self, model: str, texts: Sequence[str]) -> dict[str, Any]:
        """Return the request's body."""
        return {"model": model, "input": texts}

    def vectors(self, answer: Mapping[str, Any]) -> Sequence[Any]:
        """Return the vectors of an answer, in the order of the texts.

        :raises KeyError: the answer holds none
        :raises ValueError: the places it names are not those of the texts
        """
        items = answer["data"]
        if not any("index" in item for item in items):
            return [item["embedding"] for item in items]
        items = sorted(items, key=lambda item: item["index"])
        if [item["index"] for item in items] != list(range(len(items))):
            raise ValueError
        return [item["embedding"] for item in items]

    def missing_model(self, model: str) -> str:
        """Return what to do when the server does not know the model."""
        return f"Start it with the model '{model}', or set the connection's extra 'model' to one it serves"
