"""The built-in embedder: feature hashing of identifiers and character trigrams.

It needs no server and no model. It is *lexical*: two texts are close if they share names and spelling, not if they mean
the same. It is for demonstrations, tests and installations that search by name.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from code_patterns.embeddings.base import Embedded, EmbeddingConfig
from code_patterns.embeddings.texts import prepare

# Bytes beyond ASCII count as letters. Unicode's tables of letters differ between Python versions, and so would
# the vectors.
_WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
_PART = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z\x80-\xff]+|[0-9]+")

IDENTIFIER_WEIGHT = 3
"""Weight of an identifier or a part of it; a trigram has weight 1."""

_MEMOISED_IDENTIFIERS = 100_000
_LITTLE_ENDIAN = np.dtype("<u4")


@lru_cache(maxsize=_MEMOISED_IDENTIFIERS)
def _identifier_features(word: bytes) -> bytes:
    """Hash an identifier and its parts (``parseHttpUrl`` → parse, http, url); four bytes each."""
    lowered = word.lower()
    features = [b"w:" + lowered]
    parts = [part.lower() for part in _PART.findall(word)]
    if parts != [lowered]:
        features += [b"w:" + part for part in parts]
    return b"".join(hashlib.blake2b(feature, digest_size=4).digest() for feature in features)


def _trigram_features(text: bytes) -> NDArray[np.uint32]:
    """Hash every three neighbouring bytes: mix their 24 bits as MurmurHash3's finaliser does."""
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.uint32)
    mixed: NDArray[np.uint32] = np.left_shift(codes[:-2], 16, dtype=np.uint32)
    mixed |= codes[1:-1] << 8
    mixed |= codes[2:]
    mixed += 0x9E3779B9
    mixed ^= mixed >> 16
    mixed *= 0x85EBCA6B
    mixed ^= mixed >> 13
    mixed *= 0xC2B2AE35
    mixed ^= mixed >> 16
    return mixed


def hash_text(text: str, dimension: int) -> NDArray[np.float32]:
    """Embed one text.

    Half of the hashes count negatively, so that collisions cancel out. The counts are whole numbers, damped by a
    square root. Therefore the sum of squares is a whole number, and the result is the same to the last bit on every
    platform and Python version.

    :param text: any text; an empty one gives a fixed unit vector
    :param dimension: length of the vector, at least 1
    :return: vector of length 1, shape (dimension,)
    """
    raw = text.encode("utf-8", "replace")
    words = b"".join(map(_identifier_features, _WORD.findall(raw)))
    letters = b" ".join((b"", *raw.lower().split(), b""))
    hashes = np.concatenate(
        (np.frombuffer(words * IDENTIFIER_WEIGHT, _LITTLE_ENDIAN), _trigram_features(letters)), dtype=np.int64
    )
    slots = 2 * dimension
    hashes *= slots
    hashes >>= 32
    counts = np.bincount(hashes, minlength=slots)
    signed = counts[:dimension] - counts[dimension:]
    sizes = np.abs(signed)
    total = sizes.sum()
    if not total:
        signed[0] = sizes[0] = total = 1
    vector: NDArray[np.float32] = np.copysign(np.sqrt(sizes / total), signed).astype(np.float32)
    return vector


class HashingEmbedder:
    """Embeds inside this process.

    It works on the event loop's thread: with other threads competing for the interpreter, it took half as long again.

    :param config: ``api`` is ``hashing``; the model's name is only a label
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        self.config = config
        self._turn = asyncio.Lock()

    @property
    def token_limit(self) -> None:
        """No text is too long."""

    async def check(self) -> None:
        """Do nothing: there is no server, and the configuration is checked already."""

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        """Embed texts to be stored, in order."""
        prepared = prepare(texts, self.config.max_characters)
        vectors = np.empty((len(prepared), self.config.dimension), dtype=np.float32)
        # One batch after the other, so that a batch is written while the next is embedded.
        async with self._turn:
            for row, text in enumerate(prepared):
                vectors[row] = hash_text(self.config.document_prefix + text, self.config.dimension)
                await asyncio.sleep(0)
        return Embedded(vectors, [len(kept) < len(text) for kept, text in zip(prepared, texts, strict=True)])

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed one search text, shape (dimension,)."""
        [prepared] = prepare([text], self.config.max_characters)
        return hash_text(self.config.query_prefix + prepared, self.config.dimension)

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""
