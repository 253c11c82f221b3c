"""Texts that are too long for the model: searchable all the same, whatever way the server has of refusing them."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from code_patterns.bisection import bisect
from code_patterns.embeddings import EmbeddingConfig, RetryPolicy, open_embedder
from code_patterns.embeddings.base import Embedder, RejectedInputError
from code_patterns.embeddings.length import SEARCH_STEPS
from code_patterns.errors import OutageError, PatternsError
from tests.support import faulty_embeddings as faults
from tests.support.faulty_embeddings import EmbeddingServer, Fault, status

QUICK = RetryPolicy(attempts=3, total=5, first_wait=0.001, longest_wait=0.01)
WAYS = [status(400), status(413), status(422), status(500), faults.RESET, faults.NAN, faults.ERROR_BODY]
REFUSALS = (400, 413, 422)


def _name(way: Fault) -> str:
    return "reset" if way.reset else str(way.status)


pytestmark = pytest.mark.parametrize("api", ["ollama", "openai"])


def code(lines: int, seed: int = 0) -> str:
    """Python of that many lines."""
    chance = random.Random(f"{lines} {seed}")
    return "\n".join(
        f"    total_{chance.randrange(999)} = compute(values[{number}], key='{chance.random()}')"
        for number in range(lines)
    )


def embed(
    server: EmbeddingServer, api: str, batches: Sequence[list[str]], truncated: set[str] | None = None
) -> dict[str, Any]:
    """Embed batches one after another with one embedder, halving as the sync does; a rejection stands for its text."""
    config = EmbeddingConfig(
        "patterns_embeddings",
        api,
        "m",
        server.dimension,
        server.url,
        document_prefix="search_document: ",  # type: ignore[arg-type]
    )
    outcome: dict[str, Any] = {}
    truncated = set() if truncated is None else truncated

    async def run() -> None:
        embedder: Embedder = open_embedder(config, retry=QUICK)

        async def embed_some(texts: Sequence[str]) -> None:
            embedded = await embedder.embed_documents(texts)
            outcome.update(zip(texts, embedded.vectors, strict=True))
            truncated.update(text for text, cut in zip(texts, embedded.truncated, strict=True) if cut)

        try:
            for batch in batches:
                outcome.update(await bisect(batch, embed_some, RejectedInputError))
        finally:
            await embedder.aclose()

    asyncio.run(run())
    return outcome


def assert_embedded(outcome: dict[str, Any], texts: Sequence[str]) -> None:
    for text in texts:
        assert isinstance(outcome[text], np.ndarray), outcome[text]


@pytest.mark.parametrize("way", WAYS, ids=_name)
def test_one_long_text_is_cut_near_the_limit_within_the_bound(
    embedding_server: EmbeddingServer, api: str, way: Fault
) -> None:
    embedding_server.max_tokens, embedding_server.too_long = 512, way
    text = code(400)
    assert_embedded(embed(embedding_server, api, [[text]]), [text])
    taken = embedding_server.texts[-1].removeprefix("search_document: ")
    assert text.startswith(taken)
    # Near the limit: what was kept is most of what the model takes.
    assert 0.85 * 512 <= len(faults._TOKEN.findall(taken)) <= 512
    asked = embedding_server.requests
    assert (
        asked <= 2 * (5 + SEARCH_STEPS) if way.status in REFUSALS else asked <= 3 * (5 + SEARCH_STEPS) + QUICK.attempts
    )


@pytest.mark.parametrize("way", [status(400), status(500)], ids=_name)
def test_a_batch_of_long_texts_is_searched_once_and_not_halved(
    embedding_server: EmbeddingServer, api: str, way: Fault
) -> None:
    embedding_server.max_tokens, embedding_server.too_long = 512, way
    batches = [[code(lines, seed) for lines in (3, 90, 5, 200, 7, 400) for seed in range(5)] for _ in range(1)]
    batches += [[code(lines, 9) for lines in (4, 150, 300)], [code(500, 1)]]
    texts = [text for batch in batches for text in batch]
    assert_embedded(embed(embedding_server, api, batches), texts)
    assert embedding_server.requests <= 3 * (5 + SEARCH_STEPS) + 2 * len(batches)
    # Once the limit is known, what is too long is cut before anybody is asked.
    assert [len(batch) for batch in embedding_server.batches[-2:]] == [3, 1]


def test_short_texts_beside_long_ones_stay_whole(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.max_tokens = 512
    short, long = code(10), code(400)
    truncated: set[str] = set()
    embed(embedding_server, api, [[short, long, code(11)]], truncated)
    assert truncated == {long}
    assert f"search_document: {short}" in embedding_server.batches[-1]


def test_denser_texts_lower_the_limit_in_a_few_steps(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.max_tokens = 512
    words = " ".join("internationalisation" for _ in range(600))
    dense = [" ".join(f"a{number} ;" for number in range(start, start + 900)) for start in range(12)]
    han = ["。".join("漢字仮名" for _ in range(start + 300)) for start in range(4)]
    texts = [words, *dense, *han]
    assert_embedded(embed(embedding_server, api, [[text] for text in texts]), texts)
    assert embedding_server.requests <= 5 * 2 * (5 + SEARCH_STEPS)


@pytest.mark.parametrize("way", [status(400), status(500)], ids=_name)
def test_what_is_refused_for_its_content_is_not_searched_for_a_length(
    embedding_server: EmbeddingServer, api: str, way: Fault
) -> None:
    embedding_server.markers["poison"] = way
    text = f"poison {code(200)}"
    outcome = embed(embedding_server, api, [[text]])
    assert isinstance(outcome[text], RejectedInputError)
    # Refused, a word, its beginning refused, a word. Before a failure is blamed it is seen again, between two words.
    assert embedding_server.requests == (4 if way.status == 400 else QUICK.attempts + 8)


def test_a_refusal_behind_the_beginning_costs_other_texts_nothing(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.markers["poison"] = status(400)
    text = f"{code(20)} poison {code(200, 1)}"
    assert_embedded(embed(embedding_server, api, [[text], [code(150)]]), [text, code(150)])
    assert embedding_server.texts[-1] == f"search_document: {code(150)}"
    assert code(20).startswith(embedding_server.texts[-2].removeprefix("search_document: ")[:300])


def test_an_outage_during_the_search_blames_no_text(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.faults.extend([status(400), Fault(), Fault()])
    embedding_server.always = status(503)
    with pytest.raises(PatternsError) as caught:
        embed(embedding_server, api, [[code(400)]])
    assert type(caught.value) is OutageError
