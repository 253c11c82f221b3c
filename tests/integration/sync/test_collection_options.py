"""Options of a collection: set, compared, changed in place or behind the alias."""

import logging
import os
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_options import CollectionOptions
from tests.integration.sync.test_model_change import names_behind
from tests.support.faulty_qdrant import Fault, QdrantServer
from tests.support.two_sides import TwoSides, rows


def with_options(sides: TwoSides, **options: Any) -> TwoSides:
    return replace(sides, qdrant=replace(sides.qdrant, collection=CollectionOptions.model_validate(options)))


def config_of(sides: TwoSides, name: str | None = None) -> models.CollectionConfig:
    info = sides.with_client(lambda client: client.get_collection(name or sides.collection))
    assert isinstance(info, models.CollectionInfo)
    return info.config


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
    chosen = with_options(embedded, shard_number=2, hnsw={"m": 32})
    chosen.insert(rows(5))
    with caplog.at_level(logging.INFO, logger="code_patterns"):
        assert chosen.sync("full").parity == "proven"
        assert chosen.sync("full").parity == "proven"
    assert "the extra 'collection' of connection 'patterns_qdrant'" in caplog.text
    assert "Changing" not in caplog.text
    assert "shard_number" not in caplog.text


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
        (Fault(403, "Global manage access is required"), r"setting hnsw\.m of '.*403.*the right to read and write"),
    ):
        qdrant_server.markers = {b"hnsw_config": fault}
        with pytest.raises(ConfigurationError, match=said):
            chosen.sync("full")
        # A run that changes no options does not care.
        assert chosen.sync().kind == "incremental"
    qdrant_server.heal()
    chosen.sync("full")
    assert config_of(chosen).hnsw_config.m == 32
