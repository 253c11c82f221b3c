"""The built-in embedder: feature hashing of identifiers and character trigrams.

It needs no server and no model. It is *lexical*: two texts are close if they share names and spelling, not if they mean
the same. It is for demonstrations, tests and installations that search by name.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from code_patterns.embeddings.base import Embedded, EmbeddingConfig, Vectors
from code_patterns.embeddings.identifiers import Memo, identifiers, parts_of
from code_patterns.embeddings.texts import prepare

IDENTIFIER_WEIGHT = 3
"""Weight of an identifier or a part of it; a trigram has weight 1."""

TEXTS_AT_ONCE = 64
CHARACTERS_AT_ONCE = 100_000
"""Most texts and characters that are embedded together, unless a single text is longer: numpy needs some, memory and
other tasks of the event loop want few."""

_SPACE = ord(" ")
_SMALL = bytes(_SPACE if byte in b"\t\n\v\f\r" else byte for byte in bytes(range(256)).lower())
_TWO_SPACES = np.full(2, _SPACE, np.uint8)
_LITTLE_ENDIAN = np.dtype("<u4")


def _identifier_features(word: bytes) -> bytes:
    """Hash an identifier and its parts (``parseHttpUrl`` → parse, http, url), each as often as it counts."""
    lowered = word.lower()
    features = [b"w:" + lowered]
    parts = [part.lower() for part in parts_of(word)]
    if parts != [lowered]:
        features += [b"w:" + part for part in parts]
    return b"".join(hashlib.blake2b(feature, digest_size=4).digest() for feature in features) * IDENTIFIER_WEIGHT


_FEATURES = Memo(_identifier_features)


def _letters(texts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Write texts in small letters, with one space for all white space between, before and after the words.

    :return: the bytes of all texts, and how many each has
    """
    codes = np.frombuffer(b"".join([b" %b " % text for text in texts]).translate(_SMALL), np.uint8)
    lengths = np.fromiter(map(len, texts), np.int64) + 2
    starts = np.cumsum(lengths) - lengths
    spaces = codes == _SPACE
    kept = np.ones(len(codes), np.bool_)
    np.logical_and(spaces[1:], spaces[:-1], out=kept[1:])
    np.logical_not(kept[1:], out=kept[1:])
    kept[starts] = True
    return codes[kept], np.add.reduceat(kept, starts, dtype=np.int64)


def _trigram_features(text: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Hash every three neighbouring bytes: mix their 24 bits as MurmurHash3's finaliser does."""
    codes = text.astype(np.uint32)
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


def hash_texts(texts: Sequence[str], dimension: int) -> Vectors:
    """Embed some texts, each for itself; together they take a third of the time.

    Half of the hashes count negatively, so that collisions cancel out. The counts are whole numbers, damped by a
    square root. Therefore the sum of squares is a whole number, and the result is the same to the last bit on every
    platform and Python version.

    :param texts: at least one, of any kind; an empty one gives a fixed unit vector
    :param dimension: length of a vector, at least 1
    :return: vectors of length 1, shape (len(texts), dimension)
    """
    raw = [text.encode("utf-8", "replace") for text in texts]
    words = [b"".join(map(_FEATURES.__getitem__, identifiers(text))) for text in raw]
    letters, lengths = _letters(raw)
    ends = np.cumsum(lengths)
    # The last two bytes of a text begin no trigram; two more let the last text have such bytes too.
    trigrams = _trigram_features(np.append(letters, _TWO_SPACES))
    hashes = np.concatenate((np.frombuffer(b"".join(words), _LITTLE_ENDIAN), trigrams), dtype=np.int64)
    slots = 2 * dimension
    hashes *= slots
    hashes >>= 32
    first = np.arange(len(texts)) * slots
    features = np.fromiter(map(len, words), np.int64) // _LITTLE_ENDIAN.itemsize
    hashes += np.concatenate((np.repeat(first, features), np.repeat(first, lengths)))
    ignored = len(texts) * slots
    trigrams_at = len(hashes) - len(trigrams)
    hashes[trigrams_at + ends - 1] = ignored
    hashes[trigrams_at + np.maximum(ends - 2, 0)] = ignored
    counts = np.bincount(hashes, minlength=ignored + 1)[:-1].reshape(len(texts), 2, dimension)
    signed = counts[:, 0] - counts[:, 1]
    sizes = np.abs(signed)
    totals = sizes.sum(axis=1)
    for empty in np.flatnonzero(totals == 0):
        signed[empty, 0] = sizes[empty, 0] = totals[empty] = 1
    vectors: Vectors = np.copysign(np.sqrt(sizes / totals[:, None]), signed).astype(np.float32)
    return vectors


def hash_text(text: str, dimension: int) -> NDArray[np.float32]:
    """Embed one text; see :func:`hash_texts`.

    :return: shape (dimension,)
    """
    vector: NDArray[np.float32] = hash_texts([text], dimension)[0]
    return vector


def _parts(texts: Sequence[str]) -> Iterator[slice]:
    """Cut many texts into some that are embedded together."""
    start, characters = 0, 0
    for index, text in enumerate(texts):
        if index > start and (index - start >= TEXTS_AT_ONCE or characters + len(text) > CHARACTERS_AT_ONCE):
            yield slice(start, index)
            start, characters = index, 0
        characters += len(text)
    if texts:
        yield slice(start, len(texts))


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

    @property
    def slots(self) -> int:
        """One batch is embedded after the other."""
        return 1

    async def check(self) -> None:
        """Do nothing: there is no server, and the configuration is checked already."""

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        """Embed texts to be stored, in order."""
        prepared = prepare(texts, self.config.max_characters)
        vectors = np.empty((len(prepared), self.config.dimension), dtype=np.float32)
        # One batch after the other, so that a batch is written while the next is embedded.
        async with self._turn:
            for part in _parts(prepared):
                prefixed = [self.config.document_prefix + text for text in prepared[part]]
                vectors[part] = hash_texts(prefixed, self.config.dimension)
                await asyncio.sleep(0)
        return Embedded(vectors, [len(kept) < len(text) for kept, text in zip(prepared, texts, strict=True)])

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed one search text, shape (dimension,)."""
        [prepared] = prepare([text], self.config.max_characters)
        return hash_text(self.config.query_prefix + prepared, self.config.dimension)

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""
