"""Patterns too long for the model are searchable, marked, and cost nothing more in later runs."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import OutageError
from code_patterns.sync.pattern import TRUNCATED
from code_patterns.sync.target import PatternTarget
from tests.support import faulty_embeddings
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with faulty_embeddings.running(EmbeddingServer(dimension=64, max_tokens=300)) as server:
        yield server


@pytest.mark.parametrize("api", ["ollama", "openai"])
def test_long_patterns(sides: TwoSides, server: EmbeddingServer, api: str) -> None:
    sides = replace(sides, embedding=EmbeddingConfig("patterns_embeddings", api, "m", 64, server.url))  # type: ignore[arg-type]
    new = rows(40)
    for number, row in enumerate(new):
        filler = "\n".join(f"value_{line} = compute({line})" for line in range(200 if number % 4 == 0 else 2))
        row["pattern_data"] = json.dumps({"code": filler})
    sides.insert(new)
    long = {row["id"] for row in new[::4]}

    assert sides.sync("full").dead_letters == 0
    sides.assert_equal_sides()
    assert {node_id for node_id, point in sides.points().items() if point.get(TRUNCATED)} == long
    assert all(point.get(TRUNCATED) is not False for point in sides.points().values())

    server.requests = 0
    again = sides.sync("full")
    assert again.counts["unchanged"] == 40
    assert server.requests == 1  # the word before the run

    # Another payload leaves the vector and the mark; another text is cut at once, at the limit that was remembered.
    first, second, *_ = sorted(long)
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"seen\": 1}' WHERE id = %s", [first])
    code = "\n".join(f"other_{line} = compute({line})" for line in range(400))
    sides.execute(
        "UPDATE pattern_lineage_nodes SET pattern_data = %s WHERE id = %s", [json.dumps({"code": code}), second]
    )
    server.requests = 0
    counts = sides.sync().counts
    assert (counts["payload_only"], counts["changed"]) == (1, 1)
    assert server.requests == 2
    assert {node_id for node_id, point in sides.points().items() if point.get(TRUNCATED)} == long

    sides.execute('UPDATE pattern_lineage_nodes SET pattern_data = \'{"code": "x = 1"}\' WHERE id = %s', [second])
    sides.sync()
    assert TRUNCATED not in sides.points()[second]
    sides.assert_equal_sides()
    sides.sync("verify")


def test_a_run_that_fails_later_keeps_the_limit_that_it_found(
    sides: TwoSides, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = replace(sides, embedding=EmbeddingConfig("patterns_embeddings", "ollama", "m", 64, server.url))
    code = "\n".join(f"value_{line} = compute({line})" for line in range(200))
    sides.insert(rows(40, pattern_data=json.dumps({"code": code})))

    async def away(*_: object) -> None:
        raise OutageError(Code.QDRANT_AWAY, "Qdrant is away.")

    with monkeypatch.context() as broken:
        broken.setattr(PatternTarget, "upsert", away)
        with pytest.raises(OutageError, match="Qdrant is away"):
            sides.sync("full")
    assert server.requests > 2
    server.requests = 0
    assert sides.sync("full").counts["new"] == 40
    assert server.requests == 2  # the word before the run, and the batch
    sides.assert_equal_sides()
    assert all(point[TRUNCATED] for point in sides.points().values())
