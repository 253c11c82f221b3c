"""Options of a collection: set, compared, changed in place or behind the alias; the index of a first load deferred."""

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_options import CollectionOptions
from code_patterns.sync import deferral
from code_patterns.sync.collection import METADATA_KEY, Destination
from code_patterns.sync.pipeline import Pipeline
from code_patterns.sync.resolution import resolve
from code_patterns.sync.runs import full
from code_patterns.sync.source import PatternSource
from tests.integration.sync.test_model_change import names_behind
from tests.support.faulty_qdrant import Fault, QdrantServer
from tests.support.two_sides import TwoSides, rows
from tests.support.writers import in_process

SMALL_INDEX: dict[str, Any] = {"optimizers": {"indexing_threshold": 1}}
"""An index that a test's few vectors are large enough for."""


def with_options(sides: TwoSides, **options: Any) -> TwoSides:
    return replace(sides, qdrant=replace(sides.qdrant, collection=CollectionOptions.model_validate(options)))


def config_of(sides: TwoSides, name: str | None = None) -> models.CollectionConfig:
    info = sides.with_client(lambda client: client.get_collection(name or sides.collection))
    assert isinstance(info, models.CollectionInfo)
    return info.config


def threshold(sides: TwoSides, name: str | None = None) -> int | None:
    return config_of(sides, name).optimizer_config.indexing_threshold


def edges(sides: TwoSides) -> int:
    return config_of(sides).hnsw_config.m


def segments(sides: TwoSides) -> int:
    return config_of(sides).optimizer_config.default_segment_number


def deferred(sides: TwoSides, name: str | None = None) -> dict[str, int] | None:
    found: dict[str, int] | None = (config_of(sides, name).metadata or {})[METADATA_KEY]["deferred"]
    return found


def given_back(threshold: int, m: int = 16, segments: int = 0) -> dict[str, int]:
    return {
        "optimizers.indexing_threshold": threshold,
        "hnsw.m": m,
        "optimizers.default_segment_number": segments,
    }


def test_options_are_set_at_creation(served: TwoSides) -> None:
    sides = with_options(
        served,
        shard_number=2,
        replication_factor=1,
        write_consistency_factor=1,
        on_disk=True,
        on_disk_payload=True,
        hnsw={"m": 24, "ef_construct": 128},
        optimizers={"default_segment_number": 2, "indexing_threshold": 5000},
        quantization={"type": "int8", "quantile": 0.99, "always_ram": True},
        strict_mode={"enabled": True, "max_query_limit": 30_000, "unindexed_filtering_retrieve": False},
    )
    sides.insert(rows(20))
    assert sides.sync("full").parity == "proven"
    config = config_of(sides)
    params = config.params
    assert (params.shard_number, params.replication_factor, params.write_consistency_factor) == (2, 1, 1)
    assert isinstance(params.vectors, models.VectorParams)
    assert (params.vectors.on_disk, params.on_disk_payload) == (True, True)
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (24, 128)
    optimizers = config.optimizer_config
    assert (optimizers.default_segment_number, optimizers.indexing_threshold) == (2, 5000)
    assert isinstance(config.quantization_config, models.ScalarQuantization)
    scalar = config.quantization_config.scalar
    assert (scalar.quantile, scalar.always_ram) == (pytest.approx(0.99), True)
    strict = config.strict_mode_config
    assert strict
    assert (strict.enabled, strict.max_query_limit, strict.unindexed_filtering_retrieve) == (True, 30_000, False)
    sides.assert_equal_sides()
    assert sides.sync("verify").parity == "proven"


@pytest.mark.parametrize("prefer_grpc", [False, True])
def test_a_full_sync_changes_options_in_place_and_an_hourly_run_does_not(
    served: TwoSides, caplog: pytest.LogCaptureFixture, prefer_grpc: bool
) -> None:
    if prefer_grpc and not os.environ.get("PATTERNS_TEST_QDRANT_URL"):
        pytest.skip("only a server has gRPC")
    served.qdrant = replace(served.qdrant, prefer_grpc=prefer_grpc)
    served.insert(rows(20))
    served.sync("full")
    behind = names_behind(served)
    sides = with_options(
        served,
        write_consistency_factor=1,
        on_disk=True,
        on_disk_payload=False,
        hnsw={"m": 32},
        optimizers={"indexing_threshold": 7000},
        quantization={"type": "int8", "quantile": 0.99},
        strict_mode={"enabled": True, "search_max_oversampling": 3.3},
    )
    before = config_of(sides)
    sides.insert(rows(2, start=30))
    assert sides.sync().kind == "incremental"
    assert config_of(sides).hnsw_config == before.hnsw_config
    sides.sync("full", dry_run=True)
    assert config_of(sides).hnsw_config == before.hnsw_config
    with caplog.at_level(logging.INFO, logger="code_patterns"):
        result = sides.sync("full")
    assert (result.counts["unchanged"], result.counts["embedded_texts"]) == (22, 0)
    assert "hnsw.m 16 → 32" in caplog.text
    assert "took no notice" not in caplog.text
    after = config_of(sides)
    assert names_behind(sides) == behind
    assert (after.hnsw_config.m, after.hnsw_config.ef_construct) == (32, before.hnsw_config.ef_construct)
    assert isinstance(after.params.vectors, models.VectorParams)
    assert (after.params.vectors.on_disk, after.params.on_disk_payload) == (True, False)
    assert after.optimizer_config.indexing_threshold == 7000
    assert isinstance(after.quantization_config, models.ScalarQuantization)
    assert after.strict_mode_config
    assert after.strict_mode_config.enabled
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="code_patterns"):
        sides.sync("full")
    assert "options of" not in caplog.text
    with_options(served, quantization="none").sync("full")
    assert config_of(sides).quantization_config is None
    # What the extra does not name stays, whoever set it.
    assert config_of(sides).hnsw_config.m == 32
    served.sync("full")
    assert config_of(sides).hnsw_config.m == 32
    sides.assert_equal_sides()


def test_shards_are_changed_behind_the_alias_without_embedding(served: TwoSides) -> None:
    served.insert(rows(30))
    served.sync("full")
    old, _ = names_behind(served)
    sides = with_options(served, shard_number=3)
    sides.insert(rows(1, start=50))
    assert sides.sync().counts["new"] == 1
    assert names_behind(sides) == (old, {old}), "an hourly run changed options"
    result = sides.sync("full")
    assert (result.counts["new"], result.counts["embedded_texts"], result.parity) == (31, 0, "proven")
    new, names = names_behind(sides)
    assert names == {old, new}
    assert (config_of(sides).params.shard_number, config_of(sides, old).params.shard_number) == (3, 1)
    sides.assert_equal_sides()
    assert sides.sync("full").counts["unchanged"] == 31
    # Back again: the old collection has these options and is brought up to date.
    back = with_options(served, shard_number=1).sync("full")
    assert (back.counts["unchanged"], back.counts["embedded_texts"]) == (31, 0)
    assert names_behind(sides) == (old, {old, new})


def test_who_went_back_stays_and_can_go_forward(served: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    served.insert(rows(5))
    served.sync("full")
    old, _ = names_behind(served)
    sides = with_options(served, shard_number=2)
    sides.sync("full")
    sides.sync("full", rollback=True)
    assert names_behind(sides)[0] == old
    sides.sync("full")
    assert names_behind(sides)[0] == old
    assert "shard_number 1 → 2. Somebody went back to it" in caplog.text
    sides.sync("full", rollback=True)
    assert config_of(sides).params.shard_number == 2


def test_an_option_that_qdrant_does_not_give_is_asked_for_once(
    served: TwoSides, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.insert(rows(5))
    served.sync("full")
    create = AsyncQdrantClient.create_collection

    async def otherwise(self: Any, *args: Any, **options: Any) -> bool:
        options.pop("shard_number", None)
        return await create(self, *args, **options)

    monkeypatch.setattr(AsyncQdrantClient, "create_collection", otherwise)
    sides = with_options(served, shard_number=2)
    sides.sync("full")
    behind = names_behind(sides)
    assert "Qdrant made it otherwise" in caplog.text
    sides.sync("full")
    assert names_behind(sides) == behind, "every night would build a collection"


def test_a_collection_of_ones_own_is_not_replaced(served: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    vectors = models.VectorParams(size=served.embedding.dimension, distance=models.Distance.COSINE)
    served.with_client(lambda client: client.create_collection(served.collection, vectors_config=vectors))
    sides = with_options(served, shard_number=2, hnsw={"m": 32})
    sides.insert(rows(5))
    assert sides.sync("full").parity == "proven"
    assert "shard_number 1 → 2. Only a new one can have them" in caplog.text
    assert (config_of(sides).params.shard_number, config_of(sides).hnsw_config.m) == (1, 32)
    sides.assert_equal_sides()


def test_the_embedded_storage_says_nothing_false(
    sides: TwoSides, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    embedded = replace(sides, qdrant=replace(sides.qdrant, url="", api_key=None, path=str(tmp_path / "qdrant")))
    chosen = with_options(embedded, shard_number=2, hnsw={"m": 32}, **SMALL_INDEX)
    chosen.insert(rows(5))
    with caplog.at_level(logging.INFO, logger="code_patterns"):
        assert chosen.sync("full").parity == "proven"
        assert chosen.sync("full").parity == "proven"
    assert "the extra 'collection' of connection 'patterns_qdrant'" in caplog.text
    assert "Changing" not in caplog.text
    assert "shard_number" not in caplog.text
    assert deferred(chosen) is None


@pytest.mark.parametrize("mode", ["full", "incremental", "verify"])
def test_binary_is_refused_for_hashing(sides: TwoSides, mode: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'collection\.quantization\.type' = 'binary'.*'hashing'"):
        with_options(sides, quantization="binary").sync(mode)


def test_what_qdrant_refuses_is_named(sides: TwoSides, qdrant_server: QdrantServer) -> None:
    away = replace(sides, qdrant=QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url))
    away.insert(rows(2))
    away.sync("full")
    chosen = with_options(away, hnsw={"m": 32})
    for fault, said in (
        (Fault(400, "Validation error"), r"setting hnsw\.m of '.*400.*Validation error"),
        (Fault(403, "Global manage access is required"), r"setting hnsw\.m of '.*403.*the right to do this"),
    ):
        qdrant_server.markers = {b"hnsw_config": fault}
        with pytest.raises(ConfigurationError, match=said):
            chosen.sync("full")
        # A run that changes no options does not care.
        assert chosen.sync().kind == "incremental"
    qdrant_server.heal()
    chosen.sync("full")
    assert config_of(chosen).hnsw_config.m == 32


@pytest.fixture
def loading(served: TwoSides, monkeypatch: pytest.MonkeyPatch) -> TwoSides:
    """An empty collection, and enough rows for an index."""
    monkeypatch.setattr(full, "QUIET_SECONDS", 0.3)
    sides = with_options(served, **SMALL_INDEX)
    sides.insert(rows(60))
    return sides


def kill_in_the_middle(sides: TwoSides, name: str | None = None, before: int = 0) -> None:
    """Kill a full sync after its first points; there were some before."""
    process = in_process(lambda: sides.sync("full", batch_size=2, delay_seconds=0.1, settled=False))
    sides.with_client(partial(_more_points, name or sides.collection, before))
    os.kill(process.pid, signal.SIGKILL)
    process.join()


async def _more_points(name: str, before: int, client: AsyncQdrantClient) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(UnexpectedResponse):
            if (await client.count(name)).count > before:
                return
        await asyncio.sleep(0.02)
    raise AssertionError("no point came")


def test_a_first_load_is_indexed_at_its_end(loading: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, load = [], Pipeline.run

    async def looking(self: Pipeline, *args: Any, **options: Any) -> None:
        await load(self, *args, **options)
        info = await self._target.qdrant.client.get_collection(loading.collection)
        seen.append(info.config.optimizer_config.indexing_threshold)

    monkeypatch.setattr(Pipeline, "run", looking)
    assert loading.sync("full").parity == "proven"
    # The second time it catches up, after the index was given back.
    assert seen == [deferral.NEVER, 1]
    assert (threshold(loading), deferred(loading)) == (1, None)
    loading.assert_equal_sides()
    loading.insert(rows(2, start=70))
    seen.clear()
    loading.sync("full")
    assert set(seen) == {1}, "deferred for a small change"


@pytest.mark.parametrize("named", [False, True])
def test_a_large_first_load_is_indexed_in_large_pieces_without_a_graph(
    loading: TwoSides, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, named: bool
) -> None:
    """Without any index, and with pieces merged again and again, each point would take longer the more there are."""
    monkeypatch.setattr(deferral, "MOST_UNINDEXED", 40)
    pieces = 40 * loading.embedding.dimension * 4 // 1024
    assert pieces > 1
    kill_in_the_middle(loading)
    assert (threshold(loading), edges(loading), deferred(loading)) == (pieces, 0, given_back(1))
    assert segments(loading) == deferral.MOST_PIECES
    optimizers = SMALL_INDEX["optimizers"] | {"default_segment_number": 3}
    chosen = with_options(loading, hnsw={"m": 24}, optimizers=optimizers) if named else loading
    caplog.set_level(logging.INFO, logger="code_patterns")
    assert chosen.sync("full").parity == "proven"
    assert "Changing options" not in caplog.text
    assert (threshold(loading), edges(loading), deferred(loading)) == (1, 24 if named else 16, None)
    assert segments(loading) == (3 if named else 0)
    loading.assert_equal_sides()


@pytest.mark.parametrize("then", ["incremental", "full", "shards"])
def test_whoever_comes_after_a_kill_gives_the_index_back(
    loading: TwoSides, then: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="code_patterns")
    kill_in_the_middle(loading)
    assert (threshold(loading), deferred(loading)) == (deferral.NEVER, given_back(1))
    if then == "shards":
        cut = loading.partition(shards=2)
        for id_range in cut.ranges:
            loading.sync("full", id_range=id_range)
            assert (threshold(loading), deferred(loading)) == (deferral.NEVER, given_back(1))
        loading.sync("full", points_before=cut.points)
    else:
        assert loading.sync(then).kind == "full"
    assert (threshold(loading), deferred(loading)) == (1, None)
    assert "Changing options" not in caplog.text
    loading.assert_equal_sides()


def test_the_index_is_given_back_as_the_connection_says_now(loading: TwoSides) -> None:
    kill_in_the_middle(loading)
    with_options(loading, optimizers={"indexing_threshold": 3}).sync("full")
    assert threshold(loading) == 3


def test_what_somebody_else_set_is_given_back(served: TwoSides) -> None:
    served.insert(rows(60))
    served.sync("full", limit=2)
    by_hand: dict[str, Any] = {
        "optimizers_config": models.OptimizersConfigDiff(indexing_threshold=4, default_segment_number=5),
        "hnsw_config": models.HnswConfigDiff(m=8),
    }
    served.with_client(lambda client: client.update_collection(served.collection, **by_hand))
    kill_in_the_middle(served, before=2)
    assert (threshold(served), deferred(served)) == (deferral.NEVER, given_back(4, 8, 5))
    served.sync()
    assert (threshold(served), edges(served), segments(served), deferred(served)) == (4, 8, 5, None)


@pytest.mark.parametrize("grown", [False, True])
def test_a_load_that_an_earlier_version_began_is_finished(
    loading: TwoSides, monkeypatch: pytest.MonkeyPatch, grown: bool
) -> None:
    """It noted the threshold only, because it took nothing else."""
    kill_in_the_middle(loading)
    metadata = config_of(loading).metadata or {}
    metadata[METADATA_KEY]["deferred"] = {"optimizers.indexing_threshold": 1}
    loading.with_client(lambda client: client.update_collection(loading.collection, metadata=metadata))
    if grown:
        monkeypatch.setattr(deferral, "MOST_UNINDEXED", 40)
    assert loading.sync("full").parity == "proven"
    assert (threshold(loading), edges(loading), deferred(loading)) == (1, 16, None)


@pytest.mark.parametrize("name", ["set_options", "note_deferred"])
def test_a_failure_between_note_and_option(loading: TwoSides, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = getattr(deferral, name)
    for survives in range(2):
        calls = iter(range(10))

        async def fails(*args: Any, calls: Any = calls, survives: int = survives) -> Any:
            if next(calls) == survives:
                raise OutageError(Code.QDRANT_AWAY, "as ordered")
            return await real(*args)

        monkeypatch.setattr(deferral, name, fails)
        with pytest.raises(OutageError, match="as ordered"):
            loading.sync("full")
    monkeypatch.setattr(deferral, name, real)
    assert loading.sync().parity == "proven"
    assert (threshold(loading), deferred(loading)) == (1, None)


def test_nothing_is_deferred_for_what_is_no_first_load(loading: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="code_patterns"):
        loading.sync("full", limit=40)
        # Two thirds are there: the rest is no load any more.
        loading.sync("full")
        served = replace(loading, collection=f"{loading.collection}_other")
        served.sync(interval=(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)))
        with_options(served, optimizers={"indexing_threshold": 1_000_000}).sync("full")
    assert "when its first load is complete" not in caplog.text


def test_a_successor_is_indexed_before_readers_see_it(
    loading: TwoSides, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loading.sync("full")
    old, _ = names_behind(loading)
    other = loading.with_embedding(dimension=96)
    new = asyncio.run(_successor(other))
    kill_in_the_middle(other, new)
    loading.insert(rows(1, start=80))
    assert other.sync().kind == "incremental"
    assert (threshold(loading, new), deferred(loading, new)) == (deferral.NEVER, given_back(1))
    assert names_behind(loading) == (old, {old, new})

    read, publish, busy, at_publication = AsyncQdrantClient.get_collection, full.publish, iter(range(3)), []

    async def indexing(self: Any, name: str, **options: Any) -> Any:
        info = await read(self, name, **options)
        if info.config.optimizer_config.indexing_threshold == 1 and name == new and next(busy, None) is not None:
            info.status = models.CollectionStatus.YELLOW
        return info

    async def looking(*args: Any, **options: Any) -> Any:
        at_publication.append((await read(args[0].client, new)).config.optimizer_config.indexing_threshold)
        return await publish(*args, **options)

    monkeypatch.setattr(AsyncQdrantClient, "get_collection", indexing)
    monkeypatch.setattr(full, "publish", looking)
    monkeypatch.setattr(deferral, "_NOTICE_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, logger="code_patterns"):
        assert other.sync("full").parity == "proven"
    assert f"Waiting for the index of '{new}'" in caplog.text
    assert at_publication == [1]
    assert next(busy, None) is None
    assert names_behind(loading) == (new, {old, new})
    other.assert_equal_sides()


async def _successor(sides: TwoSides) -> str:
    """The collection that a full sync is going to build."""
    async with Qdrant.open(sides.qdrant) as qdrant, PatternSource.open(sides.as_sync) as source:
        database = await source.identity()
        found = await resolve(qdrant, sides.collection, sides.embedding, Destination.CONNECTION, database)
    return found.physical
