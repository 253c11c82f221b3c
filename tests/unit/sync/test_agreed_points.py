"""Which points count as agreed; replicas answer here by the rules of Qdrant 1.18's ``resolve.rs``."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from code_patterns.errors import OutageError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.retry import RetryPolicy
from code_patterns.sync.agreed_points import AgreedPoints
from code_patterns.sync.collection import Collection, Description, StoredCollection
from code_patterns.sync.publication import prepare
from tests.support.two_sides import HASHING

CONFIG = QdrantConfig("patterns_qdrant", url="http://qdrant:6333")


@dataclass
class Replicas:
    """The replicas of one shard. The first one is on the node that is asked.

    :param held: payload by id, of each replica
    :param dead: whether all but the first one are away
    """

    held: Sequence[dict[int, str]]
    dead: bool = False
    asked: list[Any] = field(default_factory=list)

    def _of(self, consistency: Any) -> Sequence[dict[int, str]]:
        self.asked.append(consistency)
        if consistency is None:
            return self.held[:1]
        if self.dead:
            answer = b'{"status":{"error":"not enough active replicas"}}'
            raise UnexpectedResponse(500, "Internal Server Error", answer, httpx.Headers())
        return self.held

    async def scroll(
        self, name: str, scroll_filter: models.Filter | None, limit: int, offset: int | None, consistency: Any, **_: Any
    ) -> tuple[list[models.Record], Any]:
        among = None
        for condition in (scroll_filter and scroll_filter.must) or []:
            among = condition.has_id if isinstance(condition, models.HasIdCondition) else among
        pages = [
            [
                (node_id, content)
                for node_id, content in sorted(replica.items())
                if node_id >= (offset or 0) and (among is None or node_id in among)
            ][: limit + 1]
            for replica in self._of(consistency)
        ]
        common = [entry for entry in pages[0] if all(entry in page for page in pages)]
        records = [models.Record(id=node_id, payload={"content": content}) for node_id, content in common]
        return records[:limit], records[limit].id if len(records) > limit else None

    async def count(self, name: str, exact: bool) -> models.CountResult:
        return models.CountResult(count=len(self._of(None)[0]))

    async def collection_cluster_info(self, name: str) -> models.CollectionClusterInfo:
        active, dead = models.ReplicaState.ACTIVE, models.ReplicaState.DEAD
        return models.CollectionClusterInfo(
            peer_id=1,
            shard_count=1,
            local_shards=[models.LocalShardInfo(shard_id=0, points_count=0, state=active)],
            remote_shards=[models.RemoteShardInfo(shard_id=0, peer_id=77, state=dead if self.dead else active)],
            shard_transfers=[],
        )


def points_of(replicas: Replicas, *, strict: bool = False) -> AgreedPoints:
    vectors = models.VectorParams(size=64, distance=models.Distance.COSINE)
    params = models.CollectionParams(vectors=vectors, replication_factor=len(replicas.held))
    config = models.CollectionConfig.model_construct(params=params)
    stored = StoredCollection("name", vectors, Description(identity="one"), config=config)
    qdrant = Qdrant(CONFIG, cast("AsyncQdrantClient", replicas))
    return AgreedPoints(qdrant, Collection("name", "name", HASHING, stored), strict=strict)


def ids_in(points: AgreedPoints, limit: int) -> list[Any]:
    async def read() -> list[Any]:
        found: list[Any] = []
        offset = None
        while True:
            records, offset = await points.page("reading", limit, offset, payload=True)
            found += [record.id for record in records]
            if offset is None:
                return found

    return asyncio.run(read())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("code_patterns.servers.qdrant.RETRY", RetryPolicy(attempts=2, first_wait=0.001))


@pytest.mark.parametrize("limit", [1, 3, 10, 50])
@pytest.mark.parametrize("other", [range(7, 30), range(5), [*range(10), *range(20, 30)], range(0), range(0, 30, 2)])
def test_pages_go_on_where_the_replicas_disagree(limit: int, other: Sequence[int]) -> None:
    here = dict.fromkeys(range(30), "same")
    there = dict.fromkeys(other, "same")
    assert ids_in(points_of(Replicas([here, there])), limit) == sorted(other)


def test_a_point_with_two_contents_is_absent() -> None:
    here = dict.fromkeys(range(9), "new")
    there = here | {4: "old", 8: "old"}
    assert ids_in(points_of(Replicas([here, there])), 3) == [0, 1, 2, 3, 5, 6, 7]


def test_a_server_without_replicas_gets_no_further_request() -> None:
    replicas = Replicas([dict.fromkeys(range(5), "same")])
    points = points_of(replicas)
    assert ids_in(points, 5) == [0, 1, 2, 3, 4]
    assert asyncio.run(points.replicas_agree())
    assert len(replicas.asked) == 1


def test_a_run_goes_on_with_the_replicas_that_it_can_read(caplog: pytest.LogCaptureFixture) -> None:
    replicas = Replicas([dict.fromkeys(range(5), "same")] * 2, dead=True)
    assert ids_in(points_of(replicas), 3) == [0, 1, 2, 3, 4]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_proof_waits_for_every_replica_and_says_for_which() -> None:
    replicas = Replicas([dict.fromkeys(range(5), "same")] * 2, dead=True)
    with pytest.raises(OutageError, match="shard 0 on peer 77 is Dead"):
        ids_in(points_of(replicas, strict=True), 3)
    assert None not in replicas.asked


@pytest.mark.parametrize("late", [0, 1, 3])
def test_a_change_that_another_node_has_not_heard_of_is_waited_for(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    points = points_of(Replicas([{}]))
    assert points.collection.stored
    unknown = Collection("name", "name", HASHING, words=False)
    described = StoredCollection("name", points.collection.stored.vectors, Description(identity=unknown.identity))
    answers = [points.collection.stored] * late

    async def read(*_: Any) -> StoredCollection:
        return answers.pop() if answers else described

    async def create(*_: Any, **__: Any) -> bool:
        return True

    monkeypatch.setattr("code_patterns.sync.publication.read_stored", read)
    monkeypatch.setattr("code_patterns.sync.publication.HEARD_SECONDS", 0.5)
    qdrant = Qdrant(CONFIG, cast("AsyncQdrantClient", type("Client", (), {"create_collection": create})()))
    database: Any = None
    prepared = asyncio.run(prepare(qdrant, unknown, database))
    assert prepared.description.identity == unknown.identity
