"""What goes wrong with Qdrant, and the way back that docs/runbook.md names, followed to the end."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.sync.collection import METADATA_KEY
from tests.integration.search.conftest import find, names, pattern
from tests.integration.sync.test_model_change import names_behind
from tests.support.connections import set_connection
from tests.support.faulty_qdrant import QdrantServer
from tests.support.http_recorder import recording
from tests.support.leaks import secret
from tests.support.two_sides import TwoSides, rows

KEY = secret("qdrant-key")
HOLD = "import fcntl, sys; held = open(sys.argv[1]); fcntl.flock(held, fcntl.LOCK_EX); print(flush=True); input()"


def collections(sides: TwoSides) -> set[str]:
    """The answers of ``GET /collections`` that are of this test."""

    async def ask(client: AsyncQdrantClient) -> set[str]:
        found = {item.name for item in (await client.get_collections()).collections}
        return {name for name in found if name.startswith(sides.collection)}

    return sides.with_client(ask)  # type: ignore[no-any-return]


@pytest.fixture
def grpc_port() -> Iterator[int]:
    """A port that speaks gRPC and no HTTP/1.1, as Qdrant's port 6334."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


@pytest.mark.remedy(Code.QDRANT_AWAY)
def test_the_grpc_port_where_the_rest_port_belongs(
    served: TwoSides, qdrant_server: QdrantServer, grpc_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {"conn_type": "qdrant", "host": "127.0.0.1", "schema": "http"}
    served.insert(rows(3))
    set_connection(monkeypatch, "patterns_qdrant", port=grpc_port, **fields)
    wrong = replace(served, qdrant=PatternsQdrantHook().config)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{grpc_port}/readyz")
    with pytest.raises(OutageError, match=r"let 'patterns_qdrant' name the REST port \(6333 by default\)"):
        wrong.sync("full")
    set_connection(monkeypatch, "patterns_qdrant", port=qdrant_server.port, **fields)
    right = replace(served, qdrant=PatternsQdrantHook().config)
    assert right.sync("full").parity == "proven"
    right.assert_equal_sides()


@pytest.mark.remedy(Code.QDRANT_KEY_REFUSED)
def test_a_key_that_is_wrong(sides: TwoSides, qdrant_server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    qdrant_server.api_key = KEY
    fields: dict[str, Any] = {"conn_type": "qdrant", "extra": {"url": qdrant_server.url}}
    sides.insert(rows(3))
    for password in (None, "another"):
        set_connection(monkeypatch, "patterns_qdrant", password=password, **fields)
        seen = httpx.get(f"{qdrant_server.url}/collections", headers={"api-key": password} if password else {})
        assert seen.status_code == 401
        with pytest.raises(ConfigurationError, match=r"Give the connection's password \(its API key\) the right"):
            replace(sides, qdrant=PatternsQdrantHook().config).sync("full")
    set_connection(monkeypatch, "patterns_qdrant", password=KEY, **fields)
    right = replace(sides, qdrant=PatternsQdrantHook().config)
    assert right.sync("full").parity == "proven"
    right.assert_equal_sides()


@pytest.mark.remedy(Code.NOT_QDRANT)
def test_another_service_at_its_port(
    sides: TwoSides, qdrant_server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.insert(rows(3))
    with recording() as other:
        other.answer = {"hello": "world"}
        set_connection(
            monkeypatch, "patterns_qdrant", conn_type="qdrant", extra={"url": f"http://127.0.0.1:{other.port}"}
        )
        assert "qdrant" not in httpx.get(f"http://127.0.0.1:{other.port}/").text
        with pytest.raises(ConfigurationError, match="Does 'patterns_qdrant' name the REST port of a Qdrant server"):
            replace(sides, qdrant=PatternsQdrantHook().config).sync("full")
    assert httpx.get(f"{qdrant_server.url}/").json()["title"] == "qdrant - vector search engine"
    set_connection(monkeypatch, "patterns_qdrant", conn_type="qdrant", extra={"url": qdrant_server.url})
    right = replace(sides, qdrant=PatternsQdrantHook().config)
    assert right.sync("full").parity == "proven"
    right.assert_equal_sides()


@pytest.mark.remedy(Code.QDRANT_REFUSED)
def test_strict_mode_that_lets_nobody_read_a_page(sides: TwoSides) -> None:
    if sides.qdrant.path:
        pytest.skip("the embedded storage has no strict mode")
    sides.insert(rows(20))
    sides.sync("full")

    def limit(number: int | None) -> None:
        name, _ = names_behind(sides)
        strict = models.StrictModeConfig(enabled=number is not None, max_query_limit=number)
        sides.with_client(lambda client: client.update_collection(name, strict_mode_config=strict))

    limit(5)
    sides.insert(rows(2, start=30))
    with pytest.raises(ConfigurationError, match="the server answered 400"):
        sides.sync("full")
    limit(None)
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()


@pytest.mark.parametrize("part", ["meta.json", "storage.sqlite"])
@pytest.mark.remedy(Code.EMBEDDED_STORAGE_UNUSABLE)
def test_a_damaged_storage_is_moved_away(sides: TwoSides, part: str) -> None:
    if not sides.qdrant.path:
        pytest.skip("a server keeps its own storage")
    sides.insert(rows(5))
    sides.sync("full")
    folder = Path(sides.qdrant.path)
    [file] = folder.rglob(part)
    file.write_bytes(b"\xff no such file " * 400)
    for mode in ("incremental", "full"):
        with pytest.raises(ConfigurationError, match=r"cannot be loaded.*damaged.*Move the folder away"):
            sides.sync(mode)
    with pytest.raises(ConfigurationError, match="Move the folder away"):
        find(sides, "parse")
    shutil.move(folder, folder.with_name("damaged"))
    assert sides.sync("full").counts["new"] == 5
    sides.assert_equal_sides()
    assert sides.sync().kind == "incremental"


@pytest.mark.remedy(Code.EMBEDDED_STORAGE_UNUSABLE)
def test_a_path_that_is_no_folder(sides: TwoSides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides.insert(rows(3))
    (tmp_path / "storage").write_text("of somebody else")
    set_connection(monkeypatch, "patterns_qdrant", conn_type="qdrant", extra={"path": str(tmp_path / "storage")})
    with pytest.raises(ConfigurationError, match="Check the extra 'path' and its permissions"):
        replace(sides, qdrant=PatternsQdrantHook().config).sync("full")
    assert (tmp_path / "storage").read_text() == "of somebody else"
    set_connection(monkeypatch, "patterns_qdrant", conn_type="qdrant", extra={"path": str(tmp_path / "another")})
    right = replace(sides, qdrant=PatternsQdrantHook().config)
    assert right.sync("full").parity == "proven"
    right.assert_equal_sides()


@pytest.mark.remedy(Code.EMBEDDED_STORAGE_BUSY)
def test_a_storage_that_is_open_elsewhere(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> None:
    if not sides.qdrant.path:
        pytest.skip("a server serves many")
    monkeypatch.setattr("code_patterns.search.searcher.EMBEDDED_WAIT_SECONDS", 0.1)
    sides.insert([pattern("parse")])
    sides.sync("full")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, f"{sides.qdrant.path}/.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(OutageError, match="in use by another process"):
            find(sides, "parse")
        if shutil.which("fuser"):
            seen = subprocess.run(["fuser", f"{sides.qdrant.path}/.lock"], capture_output=True, text=True, check=True)
            assert seen.stdout.split() == [str(holder.pid)]
        holder.terminate()
    assert names(find(sides, "parse")) == ["parse"]


@pytest.mark.parametrize("how", ["alias", "variable"])
@pytest.mark.remedy(Code.COLLECTION_FOREIGN)
def test_an_alias_to_a_collection_of_others(sides: TwoSides, how: str) -> None:
    theirs = f"{sides.collection}_of_others"
    vectors = models.VectorParams(size=sides.embedding.dimension, distance=models.Distance.COSINE)
    lead = models.CreateAlias(collection_name=theirs, alias_name=sides.collection)
    sides.with_client(lambda client: client.create_collection(theirs, vectors_config=vectors))
    sides.with_client(lambda client: client.update_collection_aliases([models.CreateAliasOperation(create_alias=lead)]))
    sides.insert(rows(3))
    assert not sides.with_client(lambda client: client.get_collection(theirs)).config.metadata
    with pytest.raises(
        ConfigurationError, match=rf"Remove the alias: .*set the Variable 'patterns_collection' to '{theirs}'"
    ):
        sides.sync("full")
    assert sides.points(theirs) == {}
    if how == "alias":
        gone = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=sides.collection))
        sides.with_client(lambda client: client.update_collection_aliases([gone]))
    else:
        sides.collection = theirs
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()
    assert len(sides.points(theirs)) == (0 if how == "alias" else 3)


@pytest.mark.parametrize("correct", ["dimension", "name"])
@pytest.mark.remedy(Code.COLLECTION_UNFIT)
def test_a_collection_of_another_length(sides: TwoSides, correct: str) -> None:
    vectors = models.VectorParams(size=7, distance=models.Distance.COSINE)
    sides.with_client(lambda client: client.create_collection(sides.collection, vectors_config=vectors))
    sides.insert(rows(3))
    seen = sides.with_client(lambda client: client.get_collection(sides.collection))
    assert seen.config.params.vectors.size == 7
    with pytest.raises(ConfigurationError, match=r"Correct 'model' and 'dimension'.*to another name"):
        sides.sync("full")
    assert (sides.points(), collections(sides)) == ({}, {sides.collection})
    right = sides.with_embedding(dimension=7) if correct == "dimension" else replace(sides)
    if correct == "name":
        right.collection = f"{sides.collection}_of_its_own"
    assert right.sync("full").parity == "proven"
    right.assert_equal_sides()


@pytest.mark.remedy(Code.COLLECTION_UNFIT)
def test_a_collection_of_a_recipe_that_nobody_knows(sides: TwoSides) -> None:
    sides.insert(rows(5))
    sides.with_embedding(model="hashing-v0").sync("full")
    name, _ = names_behind(sides)
    described = sides.with_client(lambda client: client.get_collection(name)).config.metadata[METADATA_KEY]
    changed = {METADATA_KEY: {**described, "recipe": "of a later version"}}
    sides.with_client(lambda client: client.update_collection(name, metadata=changed))
    sides.insert(rows(2, start=10))
    with pytest.raises(ConfigurationError, match=r"text recipe that this version does not know. Run pattern_sync_full"):
        sides.sync()
    assert len(sides.points()) == 5
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()
    assert names_behind(sides)[0] != name
    assert sides.sync().kind == "incremental"


@pytest.mark.remedy(Code.COLLECTION_MISSING)
def test_a_collection_that_nobody_has_made(sides: TwoSides) -> None:
    sides.insert([pattern("parse")])
    assert collections(sides) == set()
    with pytest.raises(ConfigurationError, match="Run pattern_sync_full, which makes it, or correct the Variable"):
        find(sides, "parse")
    sides.sync("full")
    assert collections(sides)
    assert names(find(sides, "parse")) == ["parse"]
    wrong = replace(sides, collection=f"{sides.collection}_misspelt")
    with pytest.raises(ConfigurationError, match="correct the Variable 'patterns_collection'"):
        find(wrong, "parse")
