"""Ask Qdrant for candidates, in windows that grow until there are enough hits."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from code_patterns.embeddings.words import WORDS, Words
from code_patterns.search.filters import allows, filter_of
from code_patterns.search.fusion import Candidate, Found, Weights, fuse
from code_patterns.search.query import SearchQuery
from code_patterns.search.searched import Searched
from code_patterns.servers.qdrant import Qdrant
from code_patterns.sync.payload_indexes import FILE_PATH

FIRST_WINDOW = 100
"""Candidates of each side in the first window. The order of hits depends on it, so it is the same for every page."""
GROWTH = 4
LARGEST_WINDOW = 25_600
"""A search looks at no more candidates of each side."""
ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Question:
    """What Qdrant is asked.

    :param query: filters
    :param words: the words to look for; ``None`` to leave them out
    :param near: a vector, or the id of a point; ``None`` to leave meaning out
    :param weights: what the sides count
    """

    query: SearchQuery
    words: Words | None
    near: Sequence[float] | str | None
    weights: Weights


async def candidates(qdrant: Qdrant, searched: Searched, question: Question) -> AsyncIterator[list[Candidate]]:
    """Give the candidates of one window after the other; within one the best first, and each only once.

    A later window holds only what no earlier one held. So a page goes on where the one before ended.

    :param searched: the collection
    """
    window, given = FIRST_WINDOW, set()
    while True:
        found, complete = await _window(qdrant, searched, question, window)
        fresh = [candidate for candidate in found if candidate.id not in given]
        given |= {candidate.id for candidate in fresh}
        yield fresh
        if complete or window >= LARGEST_WINDOW:
            return
        window *= GROWTH


async def _window(qdrant: Qdrant, searched: Searched, question: Question, window: int) -> tuple[list[Candidate], bool]:
    """Return the candidates of one window, and whether there are no others."""
    query = question.query
    condition = filter_of(query, by_folders=searched.filters_folders, by_numbers=searched.filters_unindexed)
    payload: Any = [FILE_PATH] if query.path_prefix else False
    doing = f"searching '{searched.name}'"
    if question.words is None and question.near is None:
        records, following = await qdrant.call(
            doing,
            lambda: qdrant.client.scroll(
                searched.name, scroll_filter=condition, limit=window, with_payload=payload, with_vectors=False
            ),
            attempts=ATTEMPTS,
        )
        return [Candidate(item.id, 0.0) for item in records if allows(query, item.payload)], following is None  # type: ignore[arg-type]
    common = {"limit": window, "with_payload": payload}
    if condition:
        common["filter"] = condition.model_dump(mode="json", exclude_none=True)
    sides: dict[str, dict[str, Any]] = {}
    if question.words is not None and len(question.words.indices):
        # A dataclass whose fields have the names that Qdrant gives them.
        sides["words"] = common | {"query": question.words, "using": WORDS}
    if question.near is not None:
        sides["meaning"] = common | {"query": question.near}
    body = orjson.dumps({"searches": list(sides.values())}, option=orjson.OPT_SERIALIZE_NUMPY)
    answers = await qdrant.call(doing, lambda: qdrant.query_batch(searched.name, body), attempts=ATTEMPTS)
    found: dict[str, Found] = {
        side: {point.id: point.score for point in answer.points if allows(query, point.payload)}  # type: ignore[misc]
        for side, answer in zip(sides, answers, strict=True)
    }
    complete = all(len(answer.points) < window for answer in answers)
    words = found.get("words", {}) if question.words is not None else None
    return fuse(words, found.get("meaning"), question.weights), complete
