"""Rows that nobody would write by hand: stored as they are or parked with a reason, never at their neighbours' cost."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.pattern import MAX_DEPTH
from code_patterns.sync.pipeline import SUSPICIOUS_REJECTIONS
from tests.conftest import config_of
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import running
from tests.support.two_sides import TwoSides, rows


@dataclass(frozen=True)
class Poison:
    """A row and what becomes of it.

    :param data: ``pattern_data`` as JSON text
    :param metadata: ``metadata`` as JSON text
    :param code: the code that the point holds
    :param kept: the metadata that the point holds
    :param parked: what the failure's error says, for a row that cannot be stored
    """

    data: str = '{"code": "x = 1"}'
    metadata: str = "{}"
    code: str = "x = 1"
    kept: Any = field(default_factory=dict)
    parked: str = ""


def double(inner: str) -> str:
    """JSON text inside a JSON string, as old installations wrote it: PostgreSQL does not look into it."""
    return json.dumps(inner)


def nested(levels: int) -> str:
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


def listed(levels: int) -> str:
    return "[" * levels + "]" * levels


CODE_2_MB = "".join(f"value_{number} = {number}\n" for number in range(90_000))
MANY_KEYS = {f"key {number}": {"n": number, "": None} for number in range(10_000)}
ODD_KEYS = {
    "": 1,
    "a.b[0]": {"": {"": []}},
    "$x": True,
    "\u2028": "\uffff",
    "😀": "\u202eright to left",
    '"\\': "\\u0000",
}
FRACTIONS = [0.1, 1.0, 1e300, 123456789.123456789, 0.9452706955539223, -0.21659939713061338, 3.632438855328368e-17]

POISON = {
    "nul": Poison(double('{"code": "a\\u0000b"}'), code="a\0b"),
    "nul-in-path": Poison(double('{"code": "x = 1", "file_path": "a\\u0000/b.py"}')),
    "lone-surrogates": Poison(double('{"code": "a\\ud800b\\udfffc"}'), code="a?b?c"),
    "surrogate-pair": Poison(double('{"code": "\\ud83d\\ude00"}'), code="😀"),
    "nan": Poison(double('{"code": "x = 1", "score": NaN, "far": [Infinity, -Infinity]}')),
    "nan-as-code": Poison(double('{"code": NaN}'), code=""),
    "not-json": Poison(double("{code: 1}"), parked="JSON text inside pattern_data is not valid JSON"),
    "number": Poison("12", parked="pattern_data is a JSON number"),
    "string-in-string": Poison(double(double('{"code": "x"}')), parked="pattern_data is a JSON string"),
    "code-is-a-list": Poison('{"code": ["x"]}', parked="pattern_data.code is a JSON array"),
    "no-code": Poison("{}", code=""),
    "2-mb": Poison(json.dumps({"code": CODE_2_MB}), code=CODE_2_MB),
    "one-long-line": Poison(json.dumps({"code": "y" * 2_000_000}), code="y" * 2_000_000),
    "10000-keys": Poison(metadata=json.dumps(MANY_KEYS), kept=MANY_KEYS),
    "odd-keys": Poison(metadata=json.dumps(ODD_KEYS), kept=ODD_KEYS),
    "long-key": Poison(metadata=json.dumps({"k" * 1_000_000: 1}), kept={"k" * 1_000_000: 1}),
    "100-levels": Poison(metadata=nested(MAX_DEPTH), kept=json.loads(nested(MAX_DEPTH))),
    "100-lists": Poison(metadata=listed(MAX_DEPTH), kept=json.loads(listed(MAX_DEPTH))),
    "101-levels": Poison(metadata=nested(MAX_DEPTH + 1), parked="metadata nests deeper than 100 levels"),
    "101-lists": Poison(metadata=listed(MAX_DEPTH + 1), parked="metadata nests deeper than 100 levels"),
    "3000-levels": Poison(metadata=listed(3000), parked="metadata nests"),
    "deep-in-data": Poison(double('{"code": "x", "a": ' + listed(100_000) + "}"), parked="nests"),
    "brackets-in-text": Poison(metadata=json.dumps({"a": "[{" * 500}), kept={"a": "[{" * 500}),
    "64-bit": Poison(metadata=f"[{2**64 - 1}, {-(2**63)}]", kept=[2**64 - 1, -(2**63)]),
    "beyond-64-bit": Poison(metadata=f'{{"n": {10**30}, "m": {-(10**25)}}}', kept={"n": 1e30, "m": -1e25}),
    "beyond-doubles": Poison(metadata=f'{{"n": {10**400}, "m": 1e-400}}', kept={"n": None, "m": 0.0}),
    "far-beyond-doubles": Poison(metadata='{"n": 1e5000, "m": -1e131071}', kept={"n": None, "m": None}),
    "fractions": Poison(metadata=json.dumps(FRACTIONS), kept=FRACTIONS),
    "nulls": Poison(
        '{"code": null}', metadata='{"a": null, "b": [null, {}]}', code="", kept={"a": None, "b": [None, {}]}
    ),
    "metadata-null": Poison(metadata="null", kept=None),
    "metadata-text": Poison(metadata='"{\\"a\\": 1}"', kept='{"a": 1}'),
    "metadata-list": Poison(metadata="[1, [2, []]]", kept=[1, [2, []]]),
}

TOO_DEEP = "nests deeper than 30 levels, more than gRPC carries"
OVER_GRPC = {
    "100-levels": Poison(metadata=nested(MAX_DEPTH), parked=TOO_DEEP),
    "100-lists": Poison(metadata=listed(MAX_DEPTH), parked=TOO_DEEP),
    # Qdrant would take these, and could not give them back.
    "49-lists": Poison(metadata=listed(49), parked=TOO_DEEP),
    "30-levels": Poison(metadata=nested(30), kept=json.loads(nested(30))),
    "64-bit": Poison(metadata=f"[{2**64 - 1}, {-(2**63)}, {2**63 - 1}]", kept=[float(2**64), -(2**63), 2**63 - 1]),
}
"""What becomes of some rows, and of some more, if the connection prefers gRPC."""


def nearly(value: Any) -> Any:
    """The value without what Qdrant's parser loses: up to two units in the last of 17 digits."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-15, abs=0)
    if isinstance(value, list):
        return [nearly(item) for item in value]
    return {key: nearly(item) for key, item in value.items()} if isinstance(value, dict) else value


TIMES = ["infinity", "-infinity", "0044-03-15 BC", "12026-01-01", "9999-12-31 23:59:59-01", "0001-01-01 00:00:00+14"]


@pytest.fixture(params=["hashing-embedded", "hashing-http", "hashing-grpc", "ollama-http"])
def sides(
    request: pytest.FixtureRequest, migrated_database: str, qdrant: QdrantConfig, embedding_server: EmbeddingServer
) -> Iterator[TwoSides]:
    """Both ways into Qdrant, and both ways to a vector."""
    api, transport = request.param.split("-")
    sides = TwoSides(config_of(migrated_database), qdrant, f"test_{uuid.uuid4().hex[:12]}")
    if api != "hashing":
        server = {"api": api, "model": "any", "base_url": embedding_server.url, "dimension": 768}
        sides.embedding = replace(sides.embedding, **server)
    if transport == "grpc":
        if qdrant.path:
            pytest.skip("the embedded storage has no gRPC")
        sides.qdrant = replace(qdrant, prefer_grpc=True)
    if transport != "http":
        yield sides
        sides.with_client(lambda client: drop(client, sides.collection))
        return
    with running() as server:
        sides.qdrant = QdrantConfig(conn_id="patterns_qdrant", url=server.url)
        yield sides
        sides.with_client(lambda client: drop(client, sides.collection))


async def drop(client: Any, prefix: str) -> None:
    for item in (await client.get_collections()).collections:
        if item.name.startswith(prefix):
            await client.delete_collection(item.name)


def test_poison_is_stored_as_it_is_or_parked_and_its_neighbours_are_stored(sides: TwoSides) -> None:
    neighbours = rows(60)
    rare = POISON | OVER_GRPC if sides.qdrant.prefer_grpc else POISON
    bad = dict(zip(rare, rows(len(rare), start=100), strict=True))
    for name, poison in rare.items():
        bad[name] |= {"pattern_data": poison.data, "metadata": poison.metadata, "file_path": None}
    sides.insert([*neighbours[:30], *bad.values(), *neighbours[30:]])
    result = sides.sync("full", batch_size=20)
    parked = {name for name, poison in rare.items() if poison.parked}
    assert result.parity == "proven"
    assert (result.counts["new"], result.counts["parked"]) == (60 + len(rare) - len(parked), len(parked))

    points = sides.points()
    errors = dict(sides.execute("SELECT node_id, error FROM pattern_sync_dead_letters"))
    assert {bad[name]["id"] for name in parked} == errors.keys()
    assert points.keys() == {row["id"] for row in neighbours} | {bad[name]["id"] for name in rare if name not in parked}
    for name, poison in rare.items():
        node_id = bad[name]["id"]
        if poison.parked:
            assert poison.parked in errors[node_id], name
            continue
        point = points[node_id]
        assert point["code"] == poison.code, name
        assert point["text"].endswith("\n\nCode:\n" + poison.code), name
        assert point["metadata"] == nearly(poison.kept), name
    assert points[bad["nul-in-path"]["id"]]["file_path"] == "a\0/b.py"
    for row in neighbours:
        assert points[row["id"]]["code"] == json.loads(row["pattern_data"])["code"]

    # What was stored compares equal, and the payload alone can be written as well.
    again = sides.sync("full")
    assert (again.counts["unchanged"], again.counts["parked"]) == (len(points), len(parked))
    assert sides.sync("verify").parity == "proven"
    sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'another'")
    assert sides.sync().counts["parked"] == len(parked)
    after = sides.points()
    for node_id, point in points.items():
        assert after[node_id]["metadata"] == nearly(point["metadata"])
        assert after[node_id]["code"] == point["code"]

    sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = '{}', metadata = '{}'")
    assert sides.sync().dead_letters == 0
    sides.assert_equal_sides()


@pytest.mark.parametrize("sides", ["hashing-grpc"], indirect=True)
def test_many_rows_that_grpc_does_not_carry_are_parked(sides: TwoSides) -> None:
    """Each is at fault itself, also if all rows of a batch are."""
    deep = rows(2 * SUSPICIOUS_REJECTIONS, metadata=nested(31))
    sides.insert(deep)
    assert sides.sync("full").dead_letters == len(deep)
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{}'")
    assert sides.sync().counts["new"] == len(deep)
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = %s", [nested(31)])
    assert sides.sync().dead_letters == len(deep)


@pytest.mark.parametrize("sides", ["hashing-embedded"], indirect=True)
def test_times_that_no_calendar_has_cost_the_time_alone(sides: TwoSides) -> None:
    strange = rows(len(TIMES))
    sides.insert([*strange, *rows(20, start=50)])
    for row, time in zip(strange, TIMES, strict=True):
        sides.execute("UPDATE pattern_lineage_nodes SET created_at = %s WHERE id = %s", [time, row["id"]])
    assert sides.sync("full").counts["new"] == 20 + len(TIMES)
    points = sides.points()
    kept = [points[row["id"]]["created_at"] for row in strange]
    assert kept == [None] * len(TIMES)
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"a\": 1}'")
    assert sides.sync().counts["payload_only"] == 20 + len(TIMES)
    sides.assert_equal_sides()


OF_A_LOST_COLLECTION = """
INSERT INTO pattern_sync_dead_letters (collection, target_identity, node_id, stage, error)
SELECT collection, 'lost', gen_random_uuid(), stage, error FROM pattern_sync_dead_letters LIMIT 1
"""


@pytest.mark.parametrize("sides", ["hashing-embedded"], indirect=True)
def test_dead_letters_are_named_with_their_reason_and_the_query_for_all(
    sides: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    bad = rows(7, pattern_data=json.dumps({"code": 7}))
    sides.insert([*bad, *rows(5, start=50)])
    for mode, named in (("full", 5), ("verify", 7), ("incremental", 5)):
        caplog.clear()
        result = sides.sync(mode)
        assert result.dead_letters == 7
        [warning] = [record.getMessage() for record in caplog.records if "are parked as dead" in record.getMessage()]
        title, meaning, *lines = warning.splitlines()
        assert title == "7 patterns are parked as dead letters."
        assert meaning == "Qdrant has none of them, or an older version. The first:"
        reasons = dict(zip(lines[: 2 * named : 2], lines[1 : 2 * named : 2], strict=True))
        assert len(reasons) == named
        assert reasons.keys() <= {f"  {row['id']}, read:" for row in bad}
        assert all("code" in reason for reason in reasons.values())
        sides.execute(OF_A_LOST_COLLECTION)
        found = sides.execute(" ".join(lines[-2:]))
        assert {row["id"] for row in bad} == {next(v for v in row if isinstance(v, uuid.UUID)) for row in found}
        assert max(map(len, lines)) <= 100
