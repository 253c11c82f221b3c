"""Searches at a steady rate, in a process of their own, as a service that searches all day.

Reads a :class:`Task` as JSON from standard input. Writes one line of JSON for each search to standard output, as
:class:`soak.records.Answered`. Begins no further search after :data:`NO_MORE`, and ends with SIGTERM.
"""

import asyncio
import ctypes
import gc
import itertools
import json
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import OutageError, PatternsError
from code_patterns.search import Searcher, SearchQuery, open_searcher
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from soak import COLLECTION
from soak.records import Answered

HITS = 10
MOST_AT_ONCE = 20
"""Above that no further search is begun: a machine that is too slow for the rate then has fewer, not failing ones."""

GIVE_BACK_SECONDS = 60.0
NO_MORE = signal.SIGUSR1


@dataclass(frozen=True)
class Task:
    """What to search, and where.

    :param postgres: fields of the database's configuration
    :param qdrant: fields of Qdrant's
    :param embedding: fields of the embedding server's
    :param names: names of patterns that stay, by id
    :param per_second: how many searches to begin in a second
    """

    postgres: Mapping[str, Any]
    qdrant: Mapping[str, Any]
    embedding: Mapping[str, Any]
    names: Mapping[str, str]
    per_second: float


async def main() -> None:
    """Search until SIGTERM."""
    # The file on standard input is the harness's own and small.
    task = Task(**json.load(sys.stdin))
    draw = random.Random(0)
    names = sorted(task.names.items())
    running: set[asyncio.Task[None]] = set()
    last = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(NO_MORE, last.set)
    servers = PostgresConfig(**task.postgres), QdrantConfig(**task.qdrant), EmbeddingConfig(**task.embedding)
    async with asyncio.TaskGroup() as beside, open_searcher(*servers, COLLECTION) as searcher:
        beside.create_task(_give_back())
        begun = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, begun + number / task.per_second - time.monotonic()))
            if len(running) < MOST_AT_ONCE and not last.is_set():
                search = asyncio.create_task(_search(searcher, *_question(number, names, draw)))
                running.add(search)
                search.add_done_callback(running.discard)


async def _give_back() -> None:
    """Give free memory back to the system again and again, so that what is left is what the process keeps.

    Of itself Python collects all its objects when a quarter of them are new, and the C library keeps what is free.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)
    while True:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        gc.collect()
        trim(0)


def _question(number: int, names: Sequence[tuple[str, str]], draw: random.Random) -> tuple[SearchQuery, str]:
    """A question, and the id of a pattern that its answer must hold, or nothing."""
    node_id, name = draw.choice(names)
    match number % 4:
        case 0:
            return SearchQuery(text=name, limit=HITS), ""
        case 1:
            return SearchQuery(similar_to=node_id, limit=HITS), ""
        case _:
            return SearchQuery(text=name, mode="words", limit=HITS), node_id


async def _search(searcher: Searcher, query: SearchQuery, wanted: str) -> None:
    begin, begun = time.time(), time.perf_counter()
    wrong = ""
    try:
        answer = await searcher.search(query)
        if not answer.hits:
            wrong = f"no hits for {query.text or query.similar_to!r}"
        elif wanted and wanted not in {hit.id for hit in answer.hits}:
            wrong = f"{query.text!r} did not find {wanted}"
    except PatternsError as error:
        # One word for all kinds of outage: the verdict excuses them while a fault is under way.
        kind = OutageError if isinstance(error, OutageError) else type(error)
        wrong = f"{kind.__name__}: {error}"
    except Exception as error:
        # A search that raises anything else is what the soak looks for.
        wrong = f"unexpected {type(error).__name__}: {error}"
    print(json.dumps(asdict(Answered(begin, time.perf_counter() - begun, wrong))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
