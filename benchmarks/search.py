"""How fast a search is, what smaller vectors cost, and how fast a sync is with a model in its own process.

``PYTHONPATH=plugins python -m benchmarks.search --size large`` syncs 100,000 functions and searches them. It needs a
Qdrant server. It prints a Markdown table and keeps it in ``results.json``.
"""

import argparse
import asyncio
import random
import re
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from qdrant_client import QdrantClient, models

from benchmarks.jobs import blocking_client, embedding_of, patterns, postgres_of, qdrant_of, synced
from benchmarks.patterns import functions
from benchmarks.results import save
from benchmarks.servers import JobError, Servers
from benchmarks.table import NEEDS_SERVER, Row
from benchmarks.workload import BATCH, Workload
from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.hashing import hash_text
from code_patterns.run_identity import RunIdentity
from code_patterns.search import SearchQuery, open_searcher
from code_patterns.sync.runs import sync
from code_patterns.sync.sync_settings import SyncSettings
from tests.support.small_model import small_model

SIZES = {"small": 30_000, "large": 100_000}
"""Below about 26,000 Qdrant builds no index, and every search is exact."""
DIMENSION = 384
"""As long as the vectors of the small models in docs/search.md."""
WARM_UP, SEARCHES = 50, 400
NEIGHBOURS = 10
MODEL_PATTERNS, MODEL_TOKENS = 300, 256
TIE = 1e-4
"""Similarities that differ by less are equal: some functions differ in one line only."""

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True)
class Found:
    """What was measured.

    :param milliseconds: of each search, in order of size
    :param recall: share of the nearest neighbours that are found, by kind of vectors
    """

    milliseconds: Sequence[float]
    recall: dict[str, float]

    def percentile(self, share: float) -> float:
        """Return the time that this share of the searches stay below."""
        return self.milliseconds[min(len(self.milliseconds) - 1, int(share * len(self.milliseconds)))]


@dataclass(frozen=True)
class InProcess:
    """A first sync with a model in its own process.

    :param sync: patterns per second
    :param model: texts per second of the model alone
    """

    sync: float
    model: float


def main() -> None:
    """Measure, print the table, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="small takes two minutes, large about ten")
    size = parser.parse_args().size
    count = SIZES[size]
    with Servers.running() as servers:
        found = None
        if servers.qdrant_url:
            with servers.database(count) as workload, servers.collection(workload) as own:
                asyncio.run(synced(own, "full", "hashing", DIMENSION))
                servers.settle(own)
                found = Found(asyncio.run(timed_searches(own)), _recall(own))
        model = asyncio.run(_with_model(servers)) if servers.qdrant_url else None
        conditions = (
            f"{servers.qdrant}; {count:,} functions, {DIMENSION} dimensions of the hashing embedder; {SEARCHES} hybrid "
            "searches one after the other, without Airflow"
        )
        save("search", conditions, [*_rows(found, count), _row_of(model)], size=size)


def questions(count: int) -> list[str]:
    """Questions about functions by the words of their names, the same at every call."""
    chosen = random.Random(count).sample(functions(), count)  # noqa: S311 (questions of a benchmark)
    return [" ".join(part.lower() for part in _PART.findall(f"{name} {path}")) for name, path, _ in chosen]


async def timed_searches(workload: Workload, dimension: int = DIMENSION) -> list[float]:
    """Milliseconds of hybrid searches, one after the other, in order of size."""
    embedding = embedding_of(workload, "hashing", dimension)
    took = []
    async with open_searcher(postgres_of(workload), qdrant_of(workload), embedding, workload.collection) as searcher:
        for text in questions(WARM_UP + SEARCHES):
            begun = time.perf_counter()
            await searcher.search(SearchQuery(text=text, mode="hybrid"))
            took.append((time.perf_counter() - begun) * 1000)
    return sorted(took[WARM_UP:])


async def _with_model(servers: Servers) -> InProcess:
    """Sync patterns with the model, and let it embed the same texts alone.

    Its tokenizer knows few words. A model computes as long for a word that it does not know as for any other.
    """
    with servers.database(MODEL_PATTERNS) as workload, servers.collection(workload) as own:
        embedding = small_model(servers.folder / "model", MODEL_TOKENS)
        texts = [pattern.text for pattern in await asyncio.to_thread(patterns, own)]
        embedder = open_embedder(embedding)
        await embedder.check()
        begun = time.perf_counter()
        for start in range(0, len(texts), BATCH):
            await embedder.embed_documents(texts[start : start + BATCH])
        model = len(texts) / (time.perf_counter() - begun)
        settings = SyncSettings(mode="full", collection=own.collection, batch_size=BATCH)
        result = await sync(postgres_of(own), qdrant_of(own), embedding, settings, RunIdentity(uuid.uuid4()))
        return InProcess(result.counts["examined"] / result.seconds, model)


def _recall(workload: Workload) -> dict[str, float]:
    """Search nearest neighbours in whole vectors and in vectors of eight bits, and compare with all similarities."""
    client, name = blocking_client(workload), workload.collection
    asked = [hash_text(text, DIMENSION).tolist() for text in questions(SEARCHES // 4)]
    exactly = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))
    right = [_similarities(client, name, vector, exactly) for vector in asked]
    whole = [_similarities(client, name, vector, None) for vector in asked]
    physical = next((item.collection_name for item in client.get_aliases().aliases if item.alias_name == name), name)
    client.update_collection(
        physical,
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        ),
    )
    _wait_until_indexed(client, name)
    if not client.get_collection(name).indexed_vectors_count:
        raise JobError(f"Qdrant built no index over '{name}', so there is no recall to measure.")
    plain = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
    rescored = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True, oversampling=2.0))
    by_kind = {
        "whole vectors": whole,
        "int8": [_similarities(client, name, vector, plain) for vector in asked],
        "int8, twice as many rescored": [_similarities(client, name, vector, rescored) for vector in asked],
    }
    client.close()
    return {
        kind: statistics.mean(_share(true, found) for true, found in zip(right, answers, strict=True))
        for kind, answers in by_kind.items()
    }


def _similarities(
    client: QdrantClient, name: str, vector: list[float], how: models.SearchParams | None
) -> dict[str, float]:
    """The nearest neighbours, and how near they really are."""
    points = client.query_points(name, query=vector, limit=NEIGHBOURS, search_params=how, with_vectors=[""]).points
    found = {}
    for point in points:
        stored = np.asarray(point.vector[""] if isinstance(point.vector, dict) else point.vector)
        found[str(point.id)] = float(stored @ np.asarray(vector))
    return found


def _share(right: dict[str, float], found: dict[str, float]) -> float:
    """The share of neighbours that are as near as the true ones."""
    least = min(right.values())
    return sum(near >= least - TIE for near in found.values()) / NEIGHBOURS


def _wait_until_indexed(client: QdrantClient, name: str, seconds: float = 900.0) -> None:
    deadline = time.monotonic() + seconds
    green = 0
    # It is green for a moment before the optimiser begins.
    while green < 4 and time.monotonic() < deadline:
        time.sleep(0.5)
        green = green + 1 if client.get_collection(name).status == models.CollectionStatus.GREEN else 0


def _rows(found: Found | None, count: int) -> Iterator[Row]:
    targets = ("≤ 15", "≤ 50") if count >= SIZES["large"] else ("", "")
    for share, target in zip((0.5, 0.99), targets, strict=True):
        name = f"hybrid search over {count:,} patterns: {'median' if share == 0.5 else '99 of 100'}"
        yield Row(name, found.percentile(share) if found else None, "ms", target, "" if found else NEEDS_SERVER)
    for kind in ("whole vectors", "int8", "int8, twice as many rescored"):
        note = "an approximate index against all similarities" if found else NEEDS_SERVER
        yield Row(f"recall@{NEIGHBOURS} with {kind}", found.recall[kind] if found else None, "", "", note)


def _row_of(model: InProcess | None) -> Row:
    name = f"first sync of {MODEL_PATTERNS} with all-MiniLM-L6-v2 (int8) in its process: of the model alone"
    if model is None:
        return Row(name, None, "", "", NEEDS_SERVER)
    return Row(name, model.sync / model.model, "", "", f"{model.sync:.1f}/s of {model.model:.1f}/s")


if __name__ == "__main__":
    main()
