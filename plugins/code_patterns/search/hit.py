"""What a search finds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hit:
    """A pattern that was found.

    :param id: its id in ``pattern_lineage_nodes`` and in Qdrant, a uuid as text
    :param pattern_id: its ``pattern_id``
    :param pattern_name: its name
    :param pattern_type: its type
    :param file_path: the file it comes from; empty if unknown
    :param language: its language; ``unknown`` without one
    :param project: ``project_id`` of its metadata
    :param created_at: when it was created, in ISO 8601
    :param quality_score: its quality, 0 to 1; ``None`` if it was not scored
    :param quality_tier: ``excellent``, ``good``, ``fair`` or ``poor``; ``None`` if it was not scored
    :param confidence: its confidence, 0 to 1; ``None`` if there is none
    :param score: by this the hits are ordered; numbers of two searches cannot be compared
    :param words_score: score by words; ``None`` if the search by words did not find it
    :param meaning_score: similarity of the vectors; ``None`` if the search by meaning did not find it
    :param matched_words: words of name, path and code that the search has too, as they are written there
    :param code: its code
    """

    id: str
    pattern_id: str | None
    pattern_name: str | None
    pattern_type: str | None
    file_path: str
    language: str
    project: str | None
    created_at: str | None
    quality_score: float | None
    quality_tier: str | None
    confidence: float | None
    score: float
    words_score: float | None
    meaning_score: float | None
    matched_words: tuple[str, ...]
    code: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as JSON knows them."""
        return asdict(self) | {"matched_words": list(self.matched_words)}


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The hits of one search, the best first.

    :param hits: the hits
    :param mode: how it was searched: ``words``, ``meaning``, ``hybrid``, ``similar``, or ``list`` without a text
    :param seconds: how long it took
    :param more: whether there are further hits behind these
    """

    hits: tuple[Hit, ...]
    mode: str
    seconds: float
    more: bool

    def as_dict(self) -> Mapping[str, Any]:
        """Return the answer as JSON knows it."""
        return {
            "hits": [hit.as_dict() for hit in self.hits],
            "mode": self.mode,
            "seconds": round(self.seconds, 4),
            "more": self.more,
        }
