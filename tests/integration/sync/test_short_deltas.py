"""A short delta is shared out over the idle slots of an embedding server."""

import asyncio
import uuid
from typing import Any

import pytest

from code_patterns.embeddings import EmbeddingConfig, open_embedder
from code_patterns.embeddings.base import RejectedInputError
from code_patterns.errors import OutageError
from code_patterns.sync.embed import DistinctEmbedder, Embedding
from code_patterns.sync.pattern import Pattern
from tests.support.faulty_embeddings import EmbeddingServer, Fault, status


def patterns(count: int, batch: str = "") -> list[Pattern]:
    texts = [f"text {number} {batch}" for number in range(count)]
    return [Pattern(uuid.uuid4(), text, {}, text, "") for text in texts]


def embed(server: EmbeddingServer, *batches: list[Pattern], **changes: Any) -> list[list[Any]]:
    """Embed batches at the same time."""
    config = EmbeddingConfig(
        "patterns_embeddings", "ollama", "nomic-embed-text", server.dimension, base_url=server.url, **changes
    )

    async def run() -> list[list[Any]]:
        embedder = open_embedder(config)
        try:
            distinct = DistinctEmbedder(embedder)
            return list(await asyncio.gather(*(distinct.embed(batch) for batch in batches)))
        finally:
            await embedder.aclose()

    return asyncio.run(run())


def sizes(server: EmbeddingServer) -> list[int]:
    return sorted(len(batch) for batch in server.batches)


@pytest.mark.parametrize(
    ("count", "concurrency", "expected"),
    [(100, 4, [25, 25, 25, 25]), (50, 8, [8, 8, 8, 8, 9, 9]), (15, 4, [15]), (100, 1, [100])],
)
def test_one_batch_has_the_server_for_itself(
    embedding_server: EmbeddingServer, count: int, concurrency: int, expected: list[int]
) -> None:
    batch = patterns(count)
    [embedded] = embed(embedding_server, batch, concurrency=concurrency)
    assert sizes(embedding_server) == expected
    for pattern, embedding in zip(batch, embedded, strict=True):
        assert isinstance(embedding, Embedding)
        assert embedding.vector.tolist() == pytest.approx(embedding_server.vector(pattern.text), abs=1e-6)


def test_batches_beside_each_other_are_not_cut(embedding_server: EmbeddingServer) -> None:
    embedding_server.request_seconds = 0.05
    batches = [patterns(40, str(number)) for number in range(4)]
    embed(embedding_server, *batches, concurrency=4)
    # The first one finds an idle server.
    assert sizes(embedding_server) == [10, 10, 10, 10, 40, 40, 40]


def test_only_the_share_of_a_bad_text_is_halved(embedding_server: EmbeddingServer) -> None:
    embedding_server.markers["text 99"] = status(400)
    [embedded] = embed(embedding_server, patterns(100))
    assert [type(result) for result in embedded] == [Embedding] * 99 + [RejectedInputError]
    texts = [text for text in embedding_server.texts if text != "function"]
    assert len(texts) == len(set(texts)) == 99, "nothing was embedded twice"


def test_an_outage_is_told_although_other_batches_have_made_room(
    embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One share of the batch was embedded, and forgotten again, while the other one was tried in vain."""
    monkeypatch.setattr("code_patterns.sync.embed.REMEMBERED_VECTORS", 4)
    embedding_server.markers["text 0 outage"] = Fault(status=503, body="busy", delay=0.5)
    with pytest.raises(OutageError):
        embed(embedding_server, patterns(16, "outage")[::-1], patterns(40, "other"), concurrency=4, timeout=1.0)


@pytest.mark.parametrize("fault", [status(503), status(500)])
def test_an_outage_of_one_share_ends_all(
    embedding_server: EmbeddingServer, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding_server.always = fault
    with pytest.raises(OutageError):
        embed(embedding_server, patterns(100), timeout=1.0)
