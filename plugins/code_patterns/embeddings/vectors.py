"""Check the vectors of an answer before they reach the collection."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig, Vectors
from code_patterns.embeddings.faults import TemporaryError, Trouble, UnusableVectorsError
from code_patterns.errors import ConfigurationError


def checked_vectors(rows: Sequence[Any], count: int, config: EmbeddingConfig) -> Vectors:
    """Check the decoded vectors of an answer and make an array of them.

    :param rows: one list of numbers per text
    :param count: number of texts that were sent
    :raises ConfigurationError: all vectors have the same length, but not the connection's dimension
    :raises TemporaryError: the number of vectors is wrong, or they are not lists of numbers of one length
    :raises UnusableVectorsError: a vector is not finite, or is all zeros
    """
    if len(rows) != count:
        raise TemporaryError(Trouble.UNREADABLE, f"it answered {len(rows)} vectors for {count} texts")
    try:
        with np.errstate(over="ignore"):
            vectors = np.asarray(rows, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        vectors = np.empty(0, dtype=np.float32)
    if vectors.ndim != 2:
        raise TemporaryError(Trouble.UNREADABLE, "its vectors are not lists of numbers of one length")
    if vectors.shape[1] != config.dimension:
        raise ConfigurationError(
            Code.DIMENSION_WRONG,
            f"The model '{config.model}' of {config.address} gives vectors of length {vectors.shape[1]}, "
            f"expected {config.dimension}. Set the connection's extra 'dimension' to {vectors.shape[1]}, or "
            f"its extra 'model' to a model of {config.dimension} dimensions.",
        )
    # Qdrant divides by this number, in 32 bits too. It shows NaN, infinity, zeros and overflow at once.
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
    if not np.isfinite(squares).all():
        raise UnusableVectorsError("its vectors hold NaN or infinite numbers")
    if not squares.all():
        raise UnusableVectorsError("its vectors hold nothing but zeros")
    return vectors
