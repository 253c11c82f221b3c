"""The sync beside embedding servers that refuse rows, stumble or vanish: no row lost, none blamed for an outage."""

import json
import uuid
from dataclasses import replace

import pytest

from code_patterns.codes import Code
from code_patterns.embeddings.base import Api
from code_patterns.errors import OutageError, PatternsError
from code_patterns.servers.retry import RetryPolicy
from code_patterns.sync.diff import ALL_IDS
from tests.support import faulty_embeddings as faults
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.two_sides import TwoSides, rows

MARKER = "unembeddable"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry as usual, only sooner."""
    policy = RetryPolicy(attempts=3, total=5.0, first_wait=0.01, longest_wait=0.05)
    monkeypatch.setattr("code_patterns.embeddings.RetryPolicy", lambda: policy)


@pytest.fixture(params=["ollama", "openai"])
def served(request: pytest.FixtureRequest, sides: TwoSides, embedding_server: EmbeddingServer) -> TwoSides:
    """The sides with its vectors from a server, in both protocols."""
    api: Api = request.param
    server = {"api": api, "model": "any", "base_url": embedding_server.url, "dimension": embedding_server.dimension}
    sides.embedding = replace(sides.embedding, **server)
    return sides


def test_vectors_are_those_of_the_texts(served: TwoSides, embedding_server: EmbeddingServer) -> None:
    served.insert(rows(130))
    assert served.sync("full", batch_size=20).counts["new"] == 130
    served.assert_equal_sides()
    for point in served.points().values():
        expected = embedding_server.vector(point["text"])
        assert point["vector"] == pytest.approx(expected, abs=1e-5)
    assert embedding_server.most_at_once <= served.embedding.concurrency


@pytest.mark.parametrize("code", [400, 500])
@pytest.mark.remedy(Code.TEXT_REFUSED)
def test_one_bad_row_in_a_hundred(served: TwoSides, embedding_server: EmbeddingServer, code: int) -> None:
    patterns = rows(100)
    bad = patterns[41]
    bad["pattern_data"] = json.dumps({"code": f"# {MARKER}"})
    served.insert(patterns)
    embedding_server.markers[MARKER] = faults.status(code)
    result = served.sync("full")
    assert (result.counts["new"], result.counts["parked"], result.parity) == (99, 1, "proven")
    assert served.points().keys() == {row["id"] for row in patterns} - {bad["id"]}
    [(node_id, stage, error, attempts)] = served.execute(
        "SELECT node_id, stage, error, attempts FROM pattern_sync_dead_letters"
    )
    assert (node_id, stage, attempts) == (bad["id"], "embed", 1)
    assert "as ordered" in error

    again = served.sync(retry_dead_letters=True)
    assert (again.counts["parked"], again.dead_letters) == (1, 1)
    assert served.execute("SELECT attempts FROM pattern_sync_dead_letters") == [(2,)]

    served.execute('UPDATE pattern_lineage_nodes SET pattern_data = \'{"code": "fine"}\' WHERE id = %s', [bad["id"]])
    mended = served.sync()
    assert (mended.counts["new"], mended.counts["parked"], mended.dead_letters) == (1, 0, 0)
    assert served.execute("SELECT * FROM pattern_sync_dead_letters") == []
    served.assert_equal_sides()


def test_a_parked_row_that_changed_nothing_is_mended_by_the_server(
    served: TwoSides, embedding_server: EmbeddingServer
) -> None:
    served.insert(rows(5, pattern_data=json.dumps({"code": MARKER})))
    served.insert(rows(5, start=10))
    embedding_server.markers[MARKER] = faults.status(400)
    assert served.sync("full").counts["parked"] == 5
    embedding_server.markers.clear()
    result = served.sync(retry_dead_letters=True)
    assert (result.counts["new"], result.dead_letters) == (5, 0)
    served.assert_equal_sides()


def test_passing_trouble_is_retried(served: TwoSides, embedding_server: EmbeddingServer) -> None:
    served.insert(rows(60))
    trouble = [
        faults.status(429, "0"),
        faults.status(429),
        faults.status(503),
        faults.RESET,
        faults.HTML,
        faults.TOO_FEW,
        faults.ERROR_BODY,
    ]
    # The first request of a run is its check, which is not retried.
    embedding_server.faults.extend([faults.Fault(), *trouble])
    result = served.sync("full", batch_size=6)
    assert (result.counts["new"], result.counts["parked"], result.parity) == (60, 0, "proven")
    served.assert_equal_sides()


@pytest.mark.parametrize(
    "fault",
    [faults.status(503), faults.status(500), faults.RESET, faults.NAN, faults.ZEROS, faults.SHORTER, faults.HTML],
    ids=["503", "500", "reset", "nan", "zeros", "shorter", "html"],
)
def test_an_outage_stops_the_run_blames_no_row_and_can_be_resumed(
    served: TwoSides, embedding_server: EmbeddingServer, fault: faults.Fault
) -> None:
    served.insert(rows(20))
    served.sync("full")
    served.insert(rows(80, start=30))
    before = served.points()
    embedding_server.faults.extend([faults.Fault()] * 5)
    embedding_server.always = fault
    requests = embedding_server.requests
    with pytest.raises(PatternsError) as stopped:
        served.sync(batch_size=10)
    assert "patterns_embeddings" in str(stopped.value)
    assert embedding_server.requests - requests < 60
    assert served.execute("SELECT * FROM pattern_sync_dead_letters") == []
    assert served.execute("SELECT status FROM pattern_sync_runs ORDER BY started_at DESC LIMIT 1") == [("failed",)]
    partly = served.points()
    assert partly.items() >= before.items()
    assert len(before) < len(partly) < 100

    embedding_server.always = None
    embedding_server.faults.clear()
    result = served.sync(batch_size=10)
    assert (result.kind, result.counts["parked"]) == ("incremental", 0)
    served.assert_equal_sides()


def test_vectors_are_reused_where_only_the_payload_changed(served: TwoSides, embedding_server: EmbeddingServer) -> None:
    served.insert(rows(25))
    served.sync("full")
    asked = len(embedding_server.texts)
    served.execute('UPDATE pattern_lineage_nodes SET metadata = \'{"only": "payload"}\'')
    assert served.sync().counts["payload_only"] == 25
    # One word more: the check of the second run.
    assert len(embedding_server.texts) == asked + 1
    served.assert_equal_sides()


def test_a_bad_row_in_a_hundred_is_found_with_few_requests(served: TwoSides, embedding_server: EmbeddingServer) -> None:
    patterns = rows(100)
    patterns[41]["pattern_data"] = json.dumps({"code": f"# {MARKER}"})
    served.insert(patterns)
    embedding_server.markers[MARKER] = faults.status(500)
    assert served.sync("full").counts["parked"] == 1
    # The check, two requests and a probe for each of seven halvings, and the attempts of the row alone.
    assert embedding_server.requests <= 30


def test_thousands_of_rows_in_an_outage_cost_few_requests(served: TwoSides, embedding_server: EmbeddingServer) -> None:
    served.insert(
        [
            {
                **row,
                "id": uuid.uuid4(),
                "pattern_id": uuid.uuid4().hex,
                "pattern_data": json.dumps({"code": f"x = {n}"}),
            }
            for n, row in enumerate(rows(1000) * 5)
        ]
    )
    embedding_server.faults.append(faults.Fault())
    embedding_server.always = faults.status(500)
    with pytest.raises(OutageError):
        served.sync("full")
    # Six batches were on their way, the first one in four shares; each request made its attempts and two probes.
    assert embedding_server.requests <= 1 + (4 + 5) * (3 + 2)
    assert served.execute("SELECT * FROM pattern_sync_dead_letters") == []


def test_dead_letters_wait_longer_each_time(served: TwoSides, embedding_server: EmbeddingServer) -> None:
    """60 rows that are refused for good, over 48 hours of a clock that is set back instead of waited for."""
    if served.embedding.api != "ollama":
        pytest.skip("the protocol makes no difference")
    served.insert({**row, "pattern_data": json.dumps({"code": f"{MARKER} {n}"})} for n, row in enumerate(rows(60)))
    served.insert(rows(10, start=600))
    embedding_server.markers[MARKER] = faults.status(400)
    assert served.sync("full").counts["parked"] == 60
    every_hour = [embedding_server.requests]
    for hour in range(1, 49):
        served.execute(
            "UPDATE pattern_sync_dead_letters SET last_failed_at = last_failed_at - interval '1 hour', "
            "next_attempt_at = next_attempt_at - interval '1 hour'"
        )
        before = embedding_server.requests
        kind = "full" if hour % 24 == 0 else "incremental"
        result = served.sync(kind, settled=False)
        assert (result.kind, result.dead_letters) == (kind, 60)
        every_hour.append(embedding_server.requests - before)
    tried = {hour: requests for hour, requests in enumerate(every_hour) if requests > 1}
    print(f"{sum(every_hour)} requests in 48 hours; tries by hour: {tried}")
    assert [*tried] == [0, 1, 3, 7, 15, 24, 48]
    # Each try sends little more than one request for each row.
    assert max(tried.values()) < 120
    assert served.execute("SELECT DISTINCT attempts FROM pattern_sync_dead_letters") == [(7,)]


@pytest.mark.parametrize("kind", ["incremental", "full", "shards"])
def test_a_dead_letter_that_changes_is_tried_at_once_and_starts_anew(
    served: TwoSides, embedding_server: EmbeddingServer, kind: str
) -> None:
    [bad] = rows(1, pattern_data=json.dumps({"code": MARKER}))
    served.insert([bad])
    embedding_server.markers[MARKER] = faults.status(400)
    served.sync("full")
    served.sync("full")
    state = "SELECT attempts, round(extract(epoch FROM next_attempt_at - last_failed_at) / 3600) FROM "
    assert served.execute(f"{state} pattern_sync_dead_letters") == [(2, 2)]
    assert served.sync().counts["parked"] == 0
    served.sync("full")
    assert served.execute(f"{state} pattern_sync_dead_letters") == [(3, 4)]
    served.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'another'")
    if kind == "shards":
        assert served.sync("full", id_range=ALL_IDS).counts["parked"] == 1
        assert served.execute(f"{state} pattern_sync_dead_letters") == [(1, 1)]
        # Shard and full sync are two tries.
        assert served.sync("full", points_before=0).counts["parked"] == 1
        assert served.execute(f"{state} pattern_sync_dead_letters") == [(2, 2)]
    else:
        assert served.sync(kind).counts["parked"] == 1
        assert served.execute(f"{state} pattern_sync_dead_letters") == [(1, 1)]
        served.sync("full")
        assert served.execute(f"{state} pattern_sync_dead_letters") == [(2, 2)]
    served.execute("UPDATE pattern_sync_dead_letters SET attempts = 40, next_attempt_at = now()")
    assert served.sync().counts["parked"] == 1
    assert served.execute(f"{state} pattern_sync_dead_letters") == [(41, 168)]
