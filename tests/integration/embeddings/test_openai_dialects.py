"""What calls itself compatible with OpenAI differs in its addresses, its indices and its numbers."""

import asyncio
import logging
from typing import Any

import numpy as np
import pytest

from code_patterns.embeddings import EmbeddingConfig, RetryPolicy, open_embedder
from code_patterns.embeddings.base import RejectedInputError
from code_patterns.errors import ConfigurationError, PatternsError
from tests.support import faulty_embeddings as faults
from tests.support.faulty_embeddings import EmbeddingServer, status

QUICK = RetryPolicy(attempts=2, total=5, first_wait=0.01, longest_wait=0.05)
KEY = "sk-geheim+0123456789"
TEXTS = [f"def function_{number}(): return {number}" for number in range(100)]


def config_for(server: EmbeddingServer, tail: str = "", api: str = "openai", **changes: Any) -> EmbeddingConfig:
    values: dict[str, Any] = {"model": "m", "dimension": server.dimension, "timeout": 5.0, **changes}
    return EmbeddingConfig("patterns_embeddings", api, base_url=server.url + tail, **values)  # type: ignore[arg-type]


def embed(config: EmbeddingConfig, texts: list[str] = TEXTS) -> np.ndarray:
    async def run() -> Any:
        embedder = open_embedder(config, retry=QUICK)
        try:
            return (await embedder.embed_documents(texts)).vectors
        finally:
            await embedder.aclose()

    return np.asarray(asyncio.run(run()))


def expected(server: EmbeddingServer, texts: list[str] = TEXTS) -> np.ndarray:
    return np.array([server.vector(text) for text in texts], dtype=np.float32)


@pytest.mark.parametrize("indices", ["any order", "none", "zero"])
@pytest.mark.parametrize("count", [1, 2, 100])
def test_one_request_whatever_the_indices(embedding_server: EmbeddingServer, indices: Any, count: int) -> None:
    embedding_server.indices = indices
    vectors = embed(config_for(embedding_server), TEXTS[:count])
    np.testing.assert_allclose(vectors, expected(embedding_server, TEXTS[:count]), atol=1e-6)
    assert embedding_server.requests == 1


@pytest.mark.parametrize("indices", ["some", "twice"])
def test_indices_that_contradict_each_other_are_not_guessed_at(embedding_server: EmbeddingServer, indices: Any) -> None:
    embedding_server.indices = indices
    with pytest.raises(RejectedInputError, match="no vectors in the order of the texts"):
        embed(config_for(embedding_server), TEXTS[:4])


def test_equal_indices_do_not_hide_a_wrong_count(embedding_server: EmbeddingServer) -> None:
    embedding_server.indices = "zero"
    embedding_server.markers["function_7("] = faults.TOO_FEW
    with pytest.raises(RejectedInputError, match="99 vectors for 100 texts"):
        embed(config_for(embedding_server))


@pytest.mark.parametrize(
    ("api", "typed", "target"),
    [
        ("openai", "", "/v1/embeddings"),
        ("openai", "/", "/v1/embeddings"),
        ("openai", "/v1", "/v1/embeddings"),
        ("openai", "/v1/", "/v1/embeddings"),
        ("openai", "/v1/embeddings", "/v1/embeddings"),
        ("openai", "/api/v3", "/api/v3/embeddings"),
        ("openai", "/inference", "/inference/embeddings"),
        ("openai", "/a%2Fb/v1", "/a%2Fb/v1/embeddings"),
        ("openai", "?api-version=2024-02-01", "/v1/embeddings?api-version=2024-02-01"),
        (
            "openai",
            "/openai/deployments/x/embeddings?api-version=2024-02-01",
            "/openai/deployments/x/embeddings?api-version=2024-02-01",
        ),
        ("openai", "/v1?a=1&b=x%2By", "/v1/embeddings?a=1&b=x%2By"),
        ("ollama", "", "/api/embed"),
        ("ollama", "/ollama", "/ollama/api/embed"),
        ("ollama", "/ollama/api/embed/", "/ollama/api/embed"),
        ("ollama", "/ollama?team=7", "/ollama/api/embed?team=7"),
    ],
)
def test_an_address_is_used_as_typed(embedding_server: EmbeddingServer, api: str, typed: str, target: str) -> None:
    embedding_server.endpoints = (target.partition("?")[0],)
    embed(config_for(embedding_server, typed, api), ["text"])
    assert embedding_server.targets == [target]


def test_azure_gets_the_key_in_its_own_header(embedding_server: EmbeddingServer) -> None:
    embed(config_for(embedding_server, "/v1?api-version=2024-02-01", api_key=KEY), ["text"])
    embed(config_for(embedding_server, "/v1", api_key=KEY), ["text"])
    assert [headers.get("api-key") for headers in embedding_server.headers] == [KEY, None]
    assert {headers["Authorization"] for headers in embedding_server.headers} == {f"Bearer {KEY}"}


def test_a_wrong_path_is_named(embedding_server: EmbeddingServer) -> None:
    with pytest.raises(ConfigurationError, match=r"404.* It was asked at /wrong/embeddings\."):
        embed(config_for(embedding_server, "/wrong?api_key=geheim"), ["text"])


@pytest.mark.parametrize("api", ["ollama", "openai"])
def test_the_dimension_is_asked_for_on_demand_only(embedding_server: EmbeddingServer, api: str) -> None:
    assert embed(config_for(embedding_server, api=api, dimension=96, send_dimensions=True), ["text"]).shape == (1, 96)
    embed(config_for(embedding_server, api=api), ["text"])
    assert [body.get("dimensions") for body in embedding_server.bodies] == [96, None]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("wanted", ["", "float", "base64"])
def test_vectors_come_in_either_encoding(embedding_server: EmbeddingServer, wanted: Any, known: bool) -> None:
    embedding_server.knows_base64 = known
    vectors = embed(config_for(embedding_server, encoding_format=wanted))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected(embedding_server), atol=1e-6)
    assert [body.get("encoding_format", "") for body in embedding_server.bodies] == [wanted]


@pytest.mark.parametrize("text", ["%%%", "AAA", "AAAA"])
def test_base64_that_holds_no_numbers_is_unreadable(embedding_server: EmbeddingServer, text: str) -> None:
    embedding_server.markers["poison"] = faults.Fault(spoil=lambda vectors: [text for _ in vectors])
    with pytest.raises(PatternsError):
        embed(config_for(embedding_server), ["poison"])


@pytest.mark.parametrize("api", ["ollama", "openai"])
def test_a_key_in_the_query_shows_nowhere(
    embedding_server: EmbeddingServer, api: str, caplog: pytest.LogCaptureFixture
) -> None:
    escaped = KEY.replace("+", "%2B")
    config = config_for(embedding_server, f"?api_key={escaped}", api)
    seen = [repr(config), str(config), config.address]
    # Everything, httpx's own lines and httpcore's included.
    caplog.set_level(logging.DEBUG)
    embed(config, ["text"])
    assert embedding_server.targets[0].endswith(f"?api_key={escaped}")
    told = f"wrong key {KEY}, {escaped}"
    for fault in (status(401, message=told), status(400, message=told), status(500, message=told), faults.RESET):
        embedding_server.always = fault
        with pytest.raises(PatternsError) as caught:
            embed(config, ["text"])
        error: BaseException | None = caught.value
        while error is not None:
            seen += [repr(error), str(error), repr(vars(error)), repr(getattr(error, "request", ""))]
            error = error.__cause__ or error.__context__
    for text in (*seen, caplog.text):
        assert KEY not in text
        assert escaped not in text
