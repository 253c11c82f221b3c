"""Order what words and meaning find together: reciprocal rank fusion (RRF)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PointId = int | str
Found = Mapping[PointId, float]
"""Scores by id, from one side."""

RANK_OFFSET = 2
"""``k`` of RRF: small, so that the first places of one side count. With the usual 60, questions in a user's own words
lost a fifth of their quality."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What the two sides count."""

    words: float
    meaning: float


FOR_QUESTIONS = Weights(words=1, meaning=2)
FOR_NAMES_AND_CODE = Weights(words=3, meaning=1)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that may be a hit.

    :param id: its id in Qdrant
    :param score: by this the hits are ordered
    :param words: its score by words; ``None`` if they did not find it
    :param meaning: its similarity; ``None`` if it was not found so
    """

    id: PointId
    score: float
    words: float | None = None
    meaning: float | None = None


def fuse(words: Found | None, meaning: Found | None, weights: Weights) -> list[Candidate]:
    """Order candidates, the best first; equal ones by id.

    The ranks count, not the scores: those of two sides have nothing in common. A single side keeps its scores.

    :param words: what the words found; ``None`` if nobody asked
    :param meaning: what the vectors found; ``None`` if nobody asked
    """
    scores: dict[PointId, float] = {}
    if words is None or meaning is None:
        scores = dict(words or meaning or {})
    else:
        for found, weight in ((words, weights.words), (meaning, weights.meaning)):
            for rank, node_id in enumerate(_ordered(found), 1):
                scores[node_id] = scores.get(node_id, 0.0) + weight / (RANK_OFFSET + rank)
    return [
        Candidate(node_id, scores[node_id], (words or {}).get(node_id), (meaning or {}).get(node_id))
        for node_id in _ordered(scores)
    ]


def _ordered(scores: Found) -> Sequence[PointId]:
    return sorted(scores, key=lambda node_id: (-scores[node_id], str(node_id)))
