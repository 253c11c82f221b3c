"""Embedding over HTTP against a real server that misbehaves on demand."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import numpy as np
import pytest

from code_patterns.embeddings import EmbeddingConfig, RetryPolicy, open_embedder
from code_patterns.embeddings.base import Embedder, RejectedInputError
from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from tests.support import faulty_embeddings as faults
from tests.support.faulty_embeddings import EmbeddingServer, Fault, status
from tests.support.frames import frames_left_behind
from tests.support.leaks import secret

QUICK = RetryPolicy(attempts=3, total=5, first_wait=0.01, longest_wait=0.05)
T = TypeVar("T")
KEY = secret("key")

pytestmark = pytest.mark.parametrize("api", ["ollama", "openai"])


def config_for(server: EmbeddingServer, api: str, **changes: Any) -> EmbeddingConfig:
    values = {"model": "nomic-embed-text", "dimension": server.dimension, "base_url": server.url, "timeout": 5.0}
    return EmbeddingConfig("patterns_embeddings", api, **{**values, **changes})  # type: ignore[arg-type]


def use(config: EmbeddingConfig, action: Callable[[Embedder], Awaitable[T]], retry: RetryPolicy = QUICK) -> T:
    """Open an embedder, do something with it, and close it."""

    async def run() -> T:
        embedder = open_embedder(config, retry=retry)
        try:
            return await action(embedder)
        finally:
            await embedder.aclose()

    return asyncio.run(run())


def embed(server: EmbeddingServer, api: str, texts: list[str], **changes: Any) -> np.ndarray:
    return use(config_for(server, api, **changes), lambda embedder: embedder.embed_documents(texts)).vectors


def refusal(server: EmbeddingServer, api: str, texts: list[str], **changes: Any) -> PatternsError:
    with pytest.raises(PatternsError) as caught:
        embed(server, api, texts, **changes)
    return caught.value


def check_failure(config: EmbeddingConfig) -> PatternsError:
    with pytest.raises(PatternsError) as caught:
        use(config, lambda embedder: embedder.check())
    assert "patterns_embeddings" in str(caught.value)
    return caught.value


def expected(server: EmbeddingServer, texts: list[str]) -> np.ndarray:
    return np.array([server.vector(text) for text in texts], dtype=np.float32)


# What works


def test_vectors_come_back_in_the_order_of_the_texts(embedding_server: EmbeddingServer, api: str) -> None:
    texts = [f"def function_{number}(): return {number}" for number in range(37)]
    vectors = embed(embedding_server, api, texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected(embedding_server, texts), atol=1e-6)
    assert embedding_server.requests == 1


def test_prefixes_limit_and_lone_surrogates(embedding_server: EmbeddingServer, api: str) -> None:
    config = config_for(
        embedding_server, api, document_prefix="search_document: ", query_prefix="search_query: ", max_characters=5
    )

    async def action(embedder: Embedder) -> None:
        await embedder.embed_documents(["abcdefgh", "x\ud800y", "größe😀"])
        vector = await embedder.embed_query("abcdefgh")
        assert vector.shape == (768,)

    use(config, action)
    assert embedding_server.texts == [
        "search_document: abcde",
        "search_document: x?y",
        "search_document: größe",
        "search_query: abcde",
    ]


def test_no_texts_need_no_request(embedding_server: EmbeddingServer, api: str) -> None:
    assert embed(embedding_server, api, []).shape == (0, 768)
    assert embedding_server.requests == 0


def test_a_server_is_named_with_or_without_its_path(embedding_server: EmbeddingServer, api: str) -> None:
    whole = "/api/embed" if api == "ollama" else "/v1/embeddings"
    tails = ["", "/", whole, whole.rpartition("/")[0] if api == "openai" else whole, f"{whole}/"]
    for tail in tails:
        embed(embedding_server, api, ["text"], base_url=embedding_server.url + tail)
    assert embedding_server.texts == ["text"] * len(tails)


def test_the_key_is_sent(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.api_key = KEY
    embed(embedding_server, api, ["text"], api_key=KEY)
    assert embedding_server.texts == ["text"]


def test_no_more_requests_at_once_than_configured(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.request_seconds = 0.05

    async def action(embedder: Embedder) -> None:
        await asyncio.gather(*(embedder.embed_documents([f"text {number}"]) for number in range(20)))

    use(config_for(embedding_server, api, concurrency=3), action)
    assert 1 < embedding_server.most_at_once <= 3
    assert sorted(embedding_server.texts) == sorted(f"text {number}" for number in range(20))


# Trouble that passes


@pytest.mark.parametrize(
    "fault",
    [
        status(429),
        status(500),
        status(502),
        status(503),
        status(408),
        status(424),
        faults.RESET,
        faults.HTML,
        faults.ERROR_BODY,
        faults.TOO_FEW,
        Fault(body="[]"),
        Fault(body="{}"),
        Fault(body=""),
    ],
    ids=lambda fault: f"{fault.status}-{(fault.body or 'spoilt')[:12]}",
)
def test_passing_trouble_is_retried(embedding_server: EmbeddingServer, api: str, fault: Fault) -> None:
    embedding_server.faults.extend([fault, fault])
    vectors = embed(embedding_server, api, ["text"])
    np.testing.assert_allclose(vectors, expected(embedding_server, ["text"]), atol=1e-6)
    assert embedding_server.requests == 3


def test_a_timeout_is_retried(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.faults.append(Fault(delay=20))
    embed(embedding_server, api, ["text"], timeout=1.0)
    assert embedding_server.requests == 2


def test_a_server_that_comes_back_is_found_again(api: str) -> None:
    with faults.running() as first:
        port = first.port
        assert embed(first, api, ["text"]).shape == (1, 768)

    async def action(embedder: Embedder) -> np.ndarray:
        attempt = asyncio.create_task(embedder.embed_documents(["text"]))
        await asyncio.sleep(0.2)
        with faults.running(port=port) as second:
            await attempt
            return np.array(second.texts)

    patient = RetryPolicy(attempts=50, total=20, first_wait=0.01, longest_wait=0.05)
    assert use(config_for(first, api), action, patient).tolist() == ["text"]


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_retry_after_is_honoured_up_to_the_longest_wait(
    embedding_server: EmbeddingServer, api: str, as_date: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    embedding_server.faults.append(status(429, tomorrow if as_date else "86400"))
    policy = RetryPolicy(attempts=2, total=30, first_wait=0.001, longest_wait=0.3)
    use(config_for(embedding_server, api), lambda embedder: embedder.embed_documents(["text"]), policy)
    assert "Attempt 2 of 2 in 0.3 s" in caplog.text
    assert embedding_server.requests == 2


def test_overload_means_fewer_requests_at_once(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.faults.extend([status(429)] * 8)

    async def action(embedder: Embedder) -> None:
        await asyncio.gather(*(embedder.embed_documents([f"{number}"]) for number in range(8)))
        embedding_server.request_seconds, embedding_server.most_at_once = 0.02, 0
        await asyncio.gather(*(embedder.embed_documents([f"{number}"]) for number in range(8)))

    use(config_for(embedding_server, api, concurrency=8), action)
    assert embedding_server.most_at_once < 8


# Who is at fault


@pytest.mark.parametrize(
    "fault",
    [
        status(400),
        status(413),
        status(422),
        status(424),
        status(500),
        faults.RESET,
        faults.ERROR_BODY,
        faults.TOO_FEW,
        faults.RAGGED,
        faults.NAN,
        faults.INFINITE,
        faults.NULLS,
        faults.ZEROS,
    ],
)
def test_a_well_server_may_blame_the_input(embedding_server: EmbeddingServer, api: str, fault: Fault) -> None:
    embedding_server.markers["poison"] = fault
    error = refusal(embedding_server, api, ["fine", "poison"])
    assert isinstance(error, RejectedInputError)
    assert embedding_server.batches == [["function"]]
    # One probe; the caller's halves are the second attempt.
    assert embedding_server.requests == 2

    if fault is faults.RAGGED:
        return  # a single vector cannot be ragged, it is of another length

    # A text alone is asked for again, unless another attempt would end the same.
    embedding_server.requests = 0
    assert isinstance(refusal(embedding_server, api, ["poison"]), RejectedInputError)
    once = fault.status in (400, 413, 422) or fault in (faults.NAN, faults.INFINITE, faults.NULLS, faults.ZEROS)
    # Once more after the probe, and another probe after that.
    assert embedding_server.requests == (2 if once else QUICK.attempts + 3)


def test_a_batch_that_stumbles_in_an_outage_is_asked_for_again(embedding_server: EmbeddingServer, api: str) -> None:
    # The batch and its probe meet trouble; the second attempt finds the server well again.
    embedding_server.faults.extend([status(500), status(500)])
    assert embed(embedding_server, api, ["one", "two"]).shape == (2, 768)
    assert embedding_server.batches == [["one", "two"]]


@pytest.mark.parametrize("fault", [status(500), status(503), faults.RESET])
def test_a_server_that_is_back_after_the_last_attempt_blames_nobody(
    embedding_server: EmbeddingServer, api: str, fault: Fault
) -> None:
    embedding_server.faults.extend([fault] * QUICK.attempts)
    try:
        vectors = embed(embedding_server, api, ["one"])
    except OutageError:
        # Nor is it asked for a harmless word after an answer that no text can cause.
        assert (fault.status, embedding_server.batches) == (503, [])
    else:
        assert vectors.shape == (1, 768)
        assert embedding_server.batches == [["function"], ["one"]]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (status(400), ConfigurationError),
        (status(500), OutageError),
        (status(503), OutageError),
        (status(429), OutageError),
        (faults.RESET, OutageError),
        (faults.HTML, OutageError),
        (faults.ERROR_BODY, OutageError),
        (faults.NAN, OutageError),
        (faults.ZEROS, OutageError),
        (Fault(delay=20), OutageError),
    ],
)
def test_a_sick_server_never_blames_the_input(
    embedding_server: EmbeddingServer, api: str, fault: Fault, kind: type[PatternsError]
) -> None:
    embedding_server.always = fault
    error = refusal(embedding_server, api, ["text"], timeout=0.3 if fault.delay else 5.0)
    assert type(error) is kind
    assert "patterns_embeddings" in str(error)
    assert f"127.0.0.1:{embedding_server.port}" in str(error)


def test_overload_and_timeouts_never_blame_the_input(embedding_server: EmbeddingServer, api: str) -> None:
    for fault in (status(429), Fault(delay=20)):
        embedding_server.markers["slow"] = fault
        assert type(refusal(embedding_server, api, ["slow"], timeout=0.3)) is OutageError
    assert embedding_server.texts == []


@pytest.mark.parametrize("fault", [status(503), faults.RESET, Fault(delay=20)], ids=["503", "reset", "silent"])
def test_a_failure_leaves_no_frames_behind(embedding_server: EmbeddingServer, api: str, fault: Fault) -> None:
    """What a search leaves in cycles stays in a server's memory until Python collects everything, after hours."""
    embedding_server.always = fault

    async def fail() -> None:
        embedder = open_embedder(config_for(embedding_server, api, timeout=0.1 if fault.delay else 5.0), retry=QUICK)
        for _ in range(3):
            with contextlib.suppress(OutageError):
                await embedder.embed_query("text")
        await embedder.aclose()

    assert frames_left_behind(fail) == []
    assert embedding_server.requests >= 12


def test_a_server_that_is_gone_is_an_outage(api: str) -> None:
    with faults.running() as server:
        pass
    error = refusal(server, api, ["text"])
    assert type(error) is OutageError
    assert "Connection refused" in str(error)


def test_bisection_by_the_caller_isolates_the_bad_text(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.markers["poison"] = status(400)
    rejected: list[str] = []

    async def action(embedder: Embedder) -> None:
        async def embed_all(texts: list[str]) -> None:
            try:
                await embedder.embed_documents(texts)
            except RejectedInputError:
                if len(texts) == 1:
                    rejected.extend(texts)
                    return
                await asyncio.gather(embed_all(texts[: len(texts) // 2]), embed_all(texts[len(texts) // 2 :]))

        await embed_all([*(f"text {number}" for number in range(50)), "poison", "last"])

    use(config_for(embedding_server, api), action)
    assert rejected == ["poison"]
    stored = [text for text in embedding_server.texts if text != "function"]
    assert sorted(stored) == sorted([*(f"text {number}" for number in range(50)), "last"])


@pytest.mark.parametrize("code", [401, 403, 404, 405, 302])
def test_refusals_in_the_middle_of_a_run_need_a_person(embedding_server: EmbeddingServer, api: str, code: int) -> None:
    embedding_server.always = status(code)
    assert type(refusal(embedding_server, api, ["text"])) is ConfigurationError
    assert embedding_server.requests == 1


def test_another_dimension_names_both_and_the_remedy(embedding_server: EmbeddingServer, api: str) -> None:
    error = refusal(embedding_server, api, ["text", "other"], dimension=1024)
    assert type(error) is ConfigurationError
    assert "768" in str(error)
    assert "1024" in str(error)
    assert "extra 'dimension'" in str(error)
    assert embedding_server.requests == 1


def test_numbers_too_large_for_32_bits_are_refused(embedding_server: EmbeddingServer, api: str) -> None:
    huge = Fault(spoil=lambda vectors: [[1e30] * len(vector) for vector in vectors])
    embedding_server.markers["huge"] = huge
    assert type(refusal(embedding_server, api, ["huge"])) is RejectedInputError


# The check before a run


def test_check_sends_one_word_once(embedding_server: EmbeddingServer, api: str) -> None:
    use(config_for(embedding_server, api), lambda embedder: embedder.check())
    assert embedding_server.texts == ["function"]


@pytest.mark.parametrize(
    "fault", [status(429), status(500), status(503), faults.RESET], ids=["429", "500", "503", "reset"]
)
def test_check_is_as_patient_as_a_batch(embedding_server: EmbeddingServer, api: str, fault: Fault) -> None:
    embedding_server.faults.extend([fault, fault])
    use(config_for(embedding_server, api), lambda embedder: embedder.check())
    assert embedding_server.texts == ["function"]
    embedding_server.always, embedding_server.requests = fault, 0
    assert type(check_failure(config_for(embedding_server, api))) is OutageError
    assert embedding_server.requests == QUICK.attempts


@pytest.mark.parametrize("code", [401, 403, 404, 400])
def test_check_does_not_repeat_what_needs_a_person(embedding_server: EmbeddingServer, api: str, code: int) -> None:
    embedding_server.always = status(code)
    assert type(check_failure(config_for(embedding_server, api))) is ConfigurationError
    assert embedding_server.requests == 1


def test_check_of_a_missing_model_says_how_to_get_it(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.model = "another-model"
    error = check_failure(config_for(embedding_server, api))
    assert type(error) is ConfigurationError
    assert "nomic-embed-text" in str(error)
    assert ("ollama pull nomic-embed-text" in str(error)) == (api == "ollama")


def test_check_of_a_wrong_key_never_shows_it(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.api_key = "another-key"
    config = config_for(embedding_server, api, api_key=KEY)
    error = check_failure(config)
    assert type(error) is ConfigurationError
    # The server's own message echoes the header; the key in it is struck out.
    assert "Bearer ***" in str(error)
    assert KEY not in repr(error)
    assert KEY not in repr(config)


@pytest.mark.parametrize("fault", [faults.HTML, faults.ERROR_BODY, faults.NAN, faults.ZEROS, status(400)])
def test_check_of_a_server_that_gives_no_vectors(embedding_server: EmbeddingServer, api: str, fault: Fault) -> None:
    embedding_server.always = fault
    assert type(check_failure(config_for(embedding_server, api))) is ConfigurationError


def test_check_of_another_dimension(embedding_server: EmbeddingServer, api: str) -> None:
    error = check_failure(config_for(embedding_server, api, dimension=384))
    assert type(error) is ConfigurationError
    assert "768" in str(error)
    assert "384" in str(error)


def test_check_of_a_closed_port_and_of_an_unknown_host(embedding_server: EmbeddingServer, api: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{held.getsockname()[1]}"
        error = check_failure(config_for(embedding_server, api, base_url=closed))
    assert type(error) is OutageError
    assert closed.removeprefix("http://") in str(error)
    error = check_failure(config_for(embedding_server, api, base_url="http://no-such-host.invalid:11434"))
    assert type(error) is OutageError
    assert "no-such-host.invalid:11434" in str(error)


def test_check_of_a_server_that_never_answers(embedding_server: EmbeddingServer, api: str) -> None:
    embedding_server.always = Fault(delay=20)
    error = check_failure(config_for(embedding_server, api, timeout=0.2))
    assert type(error) is OutageError
    assert "0.2 s" in str(error)


def test_retries_are_logged_without_the_key(
    embedding_server: EmbeddingServer, api: str, caplog: pytest.LogCaptureFixture
) -> None:
    embedding_server.faults.append(status(503, message=f"busy, Bearer {KEY}"))
    embed(embedding_server, api, ["text"], api_key=KEY)
    assert "Attempt 2 of 3" in caplog.text
    assert KEY not in caplog.text
