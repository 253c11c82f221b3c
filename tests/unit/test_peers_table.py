"""What the comparison with peers relies on: the embedding server's counts, and the comparison of rows with points."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np

from benchmarks.contenders import Differences, Outcome
from benchmarks.embedding_server import POISON, Server
from benchmarks.peers_trouble import ended
from benchmarks.servers import Measurement
from benchmarks.workload import AT_ONCE, DIMENSION
from code_patterns.embeddings.hashing import hash_text


@asynccontextmanager
async def serving(text_seconds: float = 0.0) -> AsyncIterator[httpx.AsyncClient]:
    server = await asyncio.start_server(Server(0.0, text_seconds).serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
        yield client


async def embed(client: httpx.AsyncClient, *texts: str) -> httpx.Response:
    return await client.post("/api/embed", json={"model": "m", "input": list(texts)})


async def counts(client: httpx.AsyncClient) -> dict[str, int]:
    return dict((await client.post("/embedded", json={})).json())


def test_the_embedding_server_counts_texts_and_those_that_it_had_embedded_before() -> None:
    async def ask() -> dict[str, int]:
        async with serving() as client:
            await embed(client, "a", "b")
            await embed(client, "b", "c")
            return await counts(client)

    assert asyncio.run(ask()) == {"texts": 4, "again": 1}


def test_a_request_with_a_poisoned_text_is_refused_whole_and_embeds_nothing() -> None:
    async def ask() -> tuple[int, dict[str, int]]:
        async with serving() as client:
            return (await embed(client, "a", f"x {POISON}")).status_code, await counts(client)

    assert asyncio.run(ask()) == (400, {"texts": 0, "again": 0})


def test_a_request_whose_client_is_gone_before_its_turn_is_not_embedded() -> None:
    async def ask() -> int:
        async with serving(text_seconds=1.5) as client:
            busy = [asyncio.create_task(embed(client, f"text {number}")) for number in range(AT_ONCE)]
            while (await counts(client))["texts"] < AT_ONCE:
                await asyncio.sleep(0)
            with_patience = httpx.AsyncClient(base_url=client.base_url, trust_env=False)
            waiting = asyncio.create_task(embed(with_patience, "of the killed one"))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await with_patience.aclose()
            await asyncio.gather(*busy)
            await embed(client, "last")
            return (await counts(client))["texts"]

    assert asyncio.run(ask()) == AT_ONCE + 1


def test_points_are_missing_left_over_or_old_by_their_text_or_by_their_vector() -> None:
    def point(text: str, of: str) -> tuple[str, np.ndarray]:
        return text, np.array(hash_text(of, DIMENSION))

    wanted = {name: f"def {name}(): return" for name in ("good", "gone", "edited", "vector")}
    stored = {
        "good": point(wanted["good"], wanted["good"]),
        "edited": point("something else", wanted["edited"]),
        "vector": point(wanted["vector"], wanted["good"]),
        "left": point("a row that is deleted", "a row that is deleted"),
    }
    seen = Differences.of(wanted, stored)
    assert (seen.missing, seen.left, seen.old, seen.wrong) == (1, 1, 2, 4)
    assert str(seen) == "1 missing, 1 left over, 2 old"
    assert str(Differences.of({}, {})) == "nothing wrong"


def test_the_end_of_a_run_names_its_status_and_the_failures_that_it_counted() -> None:
    assert ended(Outcome(0, Measurement(1.0, 1.0, 1, {"parked": 1}), 0.0, "")) == "exit status 0, 1 parked"
    assert ended(Outcome(0, Measurement(1.0, 1.0, 1, {"errors": 0}), 0.0, "")) == "exit status 0"
    assert ended(Outcome(1, None, 0.0, "")) == "exit status 1"
    assert ended(Outcome(None, None, 0.0, "")).startswith("did not end within")
