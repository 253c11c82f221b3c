"""A model inside this process, by Qdrant's library fastembed: no server is needed.

The package is optional, see ``requirements-optional.txt``. A process loads each model once, whoever asks for it:
loading takes seconds, and each copy takes the model's size in memory.
"""

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from code_patterns.codes import Code
from code_patterns.embeddings.base import Embedded, EmbeddingConfig, RejectedInputError, Vectors
from code_patterns.embeddings.faults import DoubtError
from code_patterns.embeddings.length import HARMLESS_WORD
from code_patterns.embeddings.model import ModelEmbedder
from code_patterns.embeddings.texts import prepare
from code_patterns.embeddings.vectors import checked_vectors
from code_patterns.errors import ConfigurationError, OutageError

if TYPE_CHECKING:
    from fastembed import TextEmbedding

TEXTS_AT_ONCE = 16
"""Texts that the model computes together. Each is padded to the longest of them."""

_models: dict[tuple[str, str, str, int], "Model"] = {}
_loading = threading.Lock()


class Model:
    """A loaded model; one thread at a time computes with it.

    :param loaded: the model
    """

    def __init__(self, loaded: "TextEmbedding") -> None:
        self._loaded = loaded
        self._turn = threading.Lock()

    def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[bool]]:
        """Embed texts.

        :return: one row for each text, and whether only its beginning counted
        """
        with self._turn:
            encodings = self._tokenizer.encode_batch(list(texts))
            # Texts of about the same length together, so that little is computed for padding.
            order = sorted(range(len(texts)), key=lambda index: sum(encodings[index].attention_mask))
            ordered = [texts[index] for index in order]
            rows = list(self._loaded.embed(ordered, batch_size=TEXTS_AT_ONCE))
        vectors = np.empty((len(texts), len(rows[0])), dtype=np.float32)
        vectors[order] = rows
        return vectors, [bool(encoding.overflowing) for encoding in encodings]

    @property
    def _tokenizer(self) -> Any:
        """The model's own tokenizer, which cuts long texts; fastembed does not say which ones it cut."""
        return self._loaded.model.tokenizer  # type: ignore[attr-defined]


class FastEmbedder(ModelEmbedder):
    """Embeds inside this process, in a thread.

    :param config: ``api`` is ``fastembed``
    """

    @property
    def token_limit(self) -> None:
        """The model's tokenizer knows it."""

    @property
    def slots(self) -> int:
        """One batch is embedded after the other."""
        return 1

    async def check(self) -> None:
        """Load the model and embed one word.

        :raises ConfigurationError: the package is missing, the model is unknown, its files cannot be read, or its
            vectors have another length
        :raises OutageError: the model is not in the cache and cannot be fetched
        """
        await self._embed([HARMLESS_WORD], "")

    async def aclose(self) -> None:
        """Do nothing: the model stays for others in this process."""

    async def _embed(self, texts: Sequence[str], prefix: str) -> Embedded:
        prepared = prepare(texts, self.config.max_characters)
        vectors, cut = await asyncio.to_thread(self._compute, [prefix + text for text in prepared])
        truncated = [short or len(kept) < len(text) for short, kept, text in zip(cut, prepared, texts, strict=True)]
        return Embedded(vectors, truncated)

    def _compute(self, texts: list[str]) -> tuple[Vectors, list[bool]]:
        rows, truncated = _model(self.config).embed(texts)
        try:
            return checked_vectors(list(rows), len(texts), self.config), truncated
        except DoubtError as error:
            raise RejectedInputError(f"The model '{self.config.model}' of {self.config.address}: {error}.") from None


def _model(config: EmbeddingConfig) -> Model:
    """Return the model of a configuration; load it if this process has not."""
    key = (config.model, config.path, config.cache_dir, config.threads)
    with _loading:
        if key not in _models:
            _models[key] = Model(_load(config))
        return _models[key]


def _load(config: EmbeddingConfig) -> "TextEmbedding":
    try:
        from fastembed import TextEmbedding
    except ModuleNotFoundError as error:
        if error.name != "fastembed":
            raise
        raise ConfigurationError(
            Code.PACKAGE_MISSING,
            f"Connection '{config.conn_id}' has the api 'fastembed', and this worker has no package fastembed. Install "
            "it with: pip install -r requirements-optional.txt",
        ) from None
    known = {model["model"].lower(): model["dim"] for model in TextEmbedding.list_supported_models()}
    if config.model.lower() not in known:
        raise ConfigurationError(
            Code.MODEL_UNAVAILABLE,
            f"Connection '{config.conn_id}' names the model '{config.model}', which fastembed does not know. Choose "
            "one of its list: https://qdrant.github.io/fastembed/examples/Supported_Models/",
        )
    try:
        return TextEmbedding(
            config.model,
            cache_dir=config.cache_dir or None,
            threads=config.threads,
            providers=["CPUExecutionProvider"],
            specific_model_path=config.path or None,
        )
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".")
        if config.path:
            raise ConfigurationError(
                Code.MODEL_UNAVAILABLE,
                f"The model '{config.model}' cannot be loaded from the folder '{config.path}', which the extra 'path' "
                f"of connection '{config.conn_id}' names: {reason}. Copy the model's files there, with its tokenizer.",
            ) from None
        where = f"the folder '{config.cache_dir}'" if config.cache_dir else "fastembed's cache folder"
        raise OutageError(
            Code.MODEL_UNAVAILABLE,
            f"The model '{config.model}' of connection '{config.conn_id}' is not in {where}, and could not be fetched "
            f"from the hub: {reason}. Let the worker reach the hub once, or copy the model's files into a folder and "
            "name it in the extra 'path'.",
        ) from None
