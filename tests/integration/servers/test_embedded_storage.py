"""The embedded storage of Qdrant, which one process at a time may have open."""

import asyncio
import errno
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.local.async_qdrant_local import AsyncQdrantLocal
from qdrant_client.local.local_collection import LocalCollection

from code_patterns.errors import ConfigurationError, PatternsError
from code_patterns.servers.qdrant import Qdrant, open_client
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_embedded import BusyStorageError

TURNS = 40


@pytest.fixture
def storage(tmp_path: Path) -> QdrantConfig:
    return QdrantConfig(conn_id="patterns_qdrant", path=str(tmp_path / "qdrant"))


def test_nobody_works_with_what_was_there_before_the_last_one_wrote(storage: QdrantConfig) -> None:
    """Each adds one to a number in the collection's metadata; a stale one would write an old number."""

    async def create() -> None:
        async with Qdrant.open(storage) as qdrant:
            vectors = models.VectorParams(size=4, distance=models.Distance.COSINE)
            await qdrant.client.create_collection("numbers", vectors_config=vectors, metadata={"number": 0})

    async def add(turns: int) -> None:
        for _ in range(turns):
            async with Qdrant.open(storage) as qdrant:
                stored = (await qdrant.client.get_collection("numbers")).config.metadata or {}
                await qdrant.client.update_collection("numbers", metadata={"number": stored["number"] + 1})

    async def read() -> int:
        async with Qdrant.open(storage) as qdrant:
            return int(((await qdrant.client.get_collection("numbers")).config.metadata or {})["number"])

    asyncio.run(create())
    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(asyncio.run, add(TURNS)) for _ in range(3)]:
            done.result()
    assert asyncio.run(read()) == 3 * TURNS


def test_the_storage_writes_a_log_ahead_from_its_first_point_on(tmp_path: Path, storage: QdrantConfig) -> None:
    file = tmp_path / "qdrant" / "collection" / "one" / "storage.sqlite"

    def mode() -> str:
        with closing(sqlite3.connect(file)) as database:
            return str(database.execute("PRAGMA journal_mode").fetchone()[0])

    async def work() -> int:
        async with Qdrant.open(storage) as qdrant:
            vectors = models.VectorParams(size=2, distance=models.Distance.COSINE)
            await qdrant.client.create_collection("one", vectors_config=vectors)
            assert mode() == "wal"
            await qdrant.client.upsert("one", [models.PointStruct(id=1, vector=[0.0, 1.0])])
        async with Qdrant.open(replace(storage, path=str(tmp_path / "other"))):
            # Only the storage that was closed last stays loaded.
            pass
        with closing(sqlite3.connect(file)) as database:
            # As another program leaves it.
            database.execute("PRAGMA journal_mode = DELETE")
        async with Qdrant.open(storage) as qdrant:
            assert mode() == "wal"
            return (await qdrant.client.count("one")).count

    assert asyncio.run(work()) == 1


VECTORS = models.VectorParams(size=2, distance=models.Distance.COSINE)


def point(number: int) -> models.PointStruct:
    return models.PointStruct(id=number, vector=[1.0, 0.0], payload={"number": number})


async def create(storage: QdrantConfig, *numbers: int) -> None:
    async with Qdrant.open(storage) as qdrant:
        await qdrant.client.create_collection("one", vectors_config=VECTORS)
        await qdrant.client.upsert("one", [point(number) for number in numbers])


async def stored(storage: QdrantConfig) -> list[int]:
    async with Qdrant.open(storage) as qdrant:
        points, _ = await qdrant.client.scroll("one", limit=100)
        return sorted(int(found.id) for found in points)


async def tell(qdrant: Qdrant, what: str) -> bool:
    return await qdrant.client.update_collection("one", metadata={"told": what})


async def told(storage: QdrantConfig) -> str | None:
    async with Qdrant.open(storage) as qdrant:
        return ((await qdrant.client.get_collection("one")).config.metadata or {}).get("told")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[LocalCollection]:
    """Each collection that loads its points."""
    seen: list[LocalCollection] = []
    load = LocalCollection.load_vectors

    def counted(collection: LocalCollection) -> None:
        seen.append(collection)
        load(collection)

    monkeypatch.setattr(LocalCollection, "load_vectors", counted)
    return seen


def test_a_storage_that_nobody_has_written_is_not_loaded_again(
    storage: QdrantConfig, loads: list[LocalCollection]
) -> None:
    async def work() -> None:
        await create(storage, 1)
        assert await stored(storage) == [1]
        loads.clear()
        assert await stored(storage) == [1]
        async with Qdrant.open(storage) as qdrant:
            await qdrant.client.upsert("one", [point(2)])
        assert await stored(storage) == [1, 2]

    asyncio.run(work())
    assert loads == []


def another_process_adds(storage: QdrantConfig, number: int) -> None:
    # A client that knows nothing of what is kept is as strange as one of another process.
    with closing(QdrantClient(path=storage.path)) as client:
        client.upsert("one", [point(number)])


def another_process_deletes(storage: QdrantConfig, number: int) -> None:
    with closing(QdrantClient(path=storage.path)) as client:
        client.delete("one", [number - 1])


def another_collection_stands_there(storage: QdrantConfig, number: int) -> None:
    with closing(QdrantClient(path=storage.path)) as client:
        client.delete_collection("one")
        client.create_collection("one", vectors_config=VECTORS)
        client.upsert("one", [point(number)])


def changed_copy(storage: QdrantConfig, number: int) -> Path:
    copy = Path(storage.path).with_name("copy")
    shutil.copytree(storage.path, copy)
    with closing(QdrantClient(path=str(copy))) as client:
        client.upsert("one", [point(number)])
    return copy


def a_copy_stands_in_its_place(storage: QdrantConfig, number: int) -> None:
    copy = changed_copy(storage, number)
    shutil.rmtree(storage.path)
    copy.rename(storage.path)


def a_copy_is_written_over_it(storage: QdrantConfig, number: int) -> None:
    shutil.copytree(changed_copy(storage, number), storage.path, dirs_exist_ok=True)


def it_is_gone(storage: QdrantConfig, number: int) -> None:
    shutil.rmtree(storage.path)
    asyncio.run(create(storage, number))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (another_process_adds, [1, 2]),
        (another_process_deletes, []),
        (another_collection_stands_there, [2]),
        (a_copy_stands_in_its_place, [1, 2]),
        (a_copy_is_written_over_it, [1, 2]),
        (it_is_gone, [2]),
    ],
)
def test_what_others_have_written_is_seen(
    storage: QdrantConfig, change: Callable[[QdrantConfig, int], None], expected: list[int]
) -> None:
    asyncio.run(create(storage, 1))
    assert asyncio.run(stored(storage)) == [1]
    change(storage, 2)
    assert asyncio.run(stored(storage)) == expected


def test_what_failed_to_reach_the_disk_is_not_kept_in_memory(
    storage: QdrantConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def fail() -> None:
        async with Qdrant.open(storage) as qdrant:
            with monkeypatch.context() as patch:
                patch.setattr(AsyncQdrantLocal, "_save", full)
                with pytest.raises(PatternsError):
                    await qdrant.call("telling", lambda: tell(qdrant, "never stored"), attempts=1)

    asyncio.run(create(storage, 1))
    assert asyncio.run(told(storage)) is None
    asyncio.run(fail())
    assert asyncio.run(told(storage)) is None


def test_what_others_have_told_about_a_collection_is_seen(storage: QdrantConfig) -> None:
    async def elsewhere() -> None:
        plain = AsyncQdrantClient(path=storage.path)
        await plain.update_collection("one", metadata={"told": "by another"})
        await plain.close()

    asyncio.run(create(storage, 1))
    assert asyncio.run(told(storage)) is None
    asyncio.run(elsewhere())
    assert asyncio.run(told(storage)) == "by another"


def test_a_child_does_not_use_what_its_parent_has_loaded(storage: QdrantConfig, loads: list[LocalCollection]) -> None:
    asyncio.run(create(storage, 1))
    assert asyncio.run(stored(storage)) == [1]
    loads.clear()
    child = os.fork()
    if not child:
        right = False
        try:
            right = asyncio.run(stored(storage)) == [1] and len(loads) == 1
        finally:
            os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(stored(storage)) == [1]
    assert not loads


def test_a_plain_client_keeps_a_loaded_storage_closed(storage: QdrantConfig) -> None:
    async def work() -> None:
        await create(storage, 1)
        assert await stored(storage) == [1]
        with closing(QdrantClient(path=storage.path)), pytest.raises(BusyStorageError):
            await open_client(storage, wait_seconds=0.05)
        assert await stored(storage) == [1]

    asyncio.run(work())


@pytest.mark.parametrize("listing", [0, 1], ids=["when it is made", "with its first collection"])
def test_killed_while_it_writes_its_list_of_collections_it_can_be_opened(storage: QdrantConfig, listing: int) -> None:
    dumps = json.dumps

    def die(*arguments: Any, **options: Any) -> str:
        nonlocal listing
        if not listing:
            os.kill(os.getpid(), signal.SIGKILL)
        listing -= 1
        return dumps(*arguments, **options)

    def work() -> None:
        json.dumps = die
        asyncio.run(create(storage, 1))

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    asyncio.run(create(storage, 1))
    assert asyncio.run(stored(storage)) == [1]


def test_an_empty_list_that_a_killed_process_left_is_no_damage_unless_there_are_collections(
    storage: QdrantConfig,
) -> None:
    listing = Path(storage.path, "meta.json")
    listing.parent.mkdir()
    listing.touch()
    asyncio.run(create(storage, 1))
    assert asyncio.run(stored(storage)) == [1]
    listing.write_text("")
    with pytest.raises(ConfigurationError, match="damaged"):
        asyncio.run(stored(storage))
    assert listing.read_text() == ""
