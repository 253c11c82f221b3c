"""Backups of both sides: what they make, when they refuse, and what comes back from them."""

import asyncio
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import LockedSession
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.backup import Backup, back_up, download_command, dump_command
from code_patterns.sync.collection import METADATA_KEY
from code_patterns.sync.identity import token_number
from code_patterns.sync.retention import prune
from code_patterns.sync.run_locks import collection_lock
from code_patterns.sync.source import PatternSource
from code_patterns.sync.sync_settings import BackupSettings, RetentionSettings
from tests.support.certificates import make_certificates
from tests.support.http_recorder import recording
from tests.support.postgres_programs import programs
from tests.support.roles import PASSWORD, grant
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def server(sides: TwoSides) -> TwoSides:
    """Both sides with a Qdrant server: only that makes snapshots."""
    if not sides.qdrant.url:
        pytest.skip("only a Qdrant server makes snapshots: name one in PATTERNS_TEST_QDRANT_URL")
    return sides


def backed_up(sides: TwoSides, keep: int = 3) -> Backup:
    settings = BackupSettings(collection=sides.collection, keep=keep, patience_seconds=0.0)
    run = RunIdentity(uuid.uuid4(), "pattern_backup", "by hand", 1)
    # Qdrant names a snapshot by the second.
    time.sleep(1 - time.time() % 1)
    return asyncio.run(back_up(sides.as_sync, sides.qdrant, sides.embedding, settings, run))


def snapshots(sides: TwoSides, physical: str) -> set[str]:
    async def listed(client: Any) -> set[str]:
        return {one.name for one in await client.list_snapshots(physical)}

    found: set[str] = sides.with_client(listed)
    return found


def recorded(sides: TwoSides) -> list[str]:
    return [name for (name,) in sides.execute("SELECT snapshot FROM pattern_sync_backups ORDER BY created_at")]


def restored(sides: TwoSides, backup: Backup) -> Callable[[], None]:
    """Fetch a snapshot as its command does; return what uploads it."""
    headers = {"api-key": sides.qdrant.api_key} if sides.qdrant.api_key else {}
    url = f"{sides.qdrant.url}/collections/{backup.collection}/snapshots"
    content = httpx.get(f"{url}/{backup.snapshot}", headers=headers, timeout=60).raise_for_status().content
    assert len(content) == backup.bytes

    def upload() -> None:
        answer = httpx.post(
            f"{url}/upload",
            params={"priority": "snapshot", "wait": "true"},
            files={"snapshot": ("any.snapshot", content)},
            headers=headers,
            timeout=60,
        )
        answer.raise_for_status()

    return upload


# --- the command


def test_the_command_holds_what_pg_dump_needs_and_no_secret() -> None:
    config = PostgresConfig(
        conn_id="patterns_postgres",
        host="db.example.org",
        database="it's mine",
        user="writer",
        password="hunter2",
        options={"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem", "sslpassword": "hunter3", "options": "-c a=b"},
    )
    command = dump_command(config, "code patterns", 42)
    assert "hunter" not in command
    assert command.startswith("pg_dump --format=custom --no-owner --file='code patterns-42.dump' --dbname=")
    for part in ("host=", "db.example.org", "port=", "5432", "sslmode=", "verify-full", "sslrootcert=", "/etc/ca.pem"):
        assert part in command


@pytest.mark.parametrize("key", ["", "it's $secret \\n"])
def test_the_download_shows_the_certificate_and_no_program_the_key(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = make_certificates(tmp_path)
    monkeypatch.setenv("QDRANT_API_KEY", key)
    # Qdrant's part is not asked for: the server answers whatever is fetched.
    with recording(certificates.server, certificates.authority) as recorder:
        recorder.answer = "a snapshot"
        config = QdrantConfig(
            "patterns_qdrant",
            url=f"https://127.0.0.1:{recorder.port}/qdrant",
            api_key=key or None,
            ca_file=str(certificates.authority),
            cert_file=str(certificates.client),
            key_file=str(certificates.client_key),
        )
        command = download_command(config, "patterns", "one.snapshot", "'a file'")
        # The shell's own printf is no program. What else runs, everybody on the machine can see.
        _, _, program = command.rpartition(" | ")
        assert "QDRANT_API_KEY" not in program
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)  # noqa: S602
        assert done.returncode == 0, done.stderr
        assert recorder.requests == ["GET /qdrant/collections/patterns/snapshots/one.snapshot"]
        assert recorder.headers[0].get("api-key", "") == key
    assert (tmp_path / "a file").read_text() == '"a snapshot"'
    assert "--insecure" in download_command(replace(config, verify=False), "patterns", "one.snapshot", "file")


# --- refusals


@pytest.mark.remedy(Code.BACKUP_IMPOSSIBLE)
def test_an_embedded_storage_is_refused_with_what_to_do(
    sides: TwoSides, postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.qdrant = QdrantConfig(conn_id="patterns_qdrant", path=str(tmp_path / "qdrant"))
    sides.insert(rows(5))
    sides.sync("full")
    with pytest.raises(ConfigurationError) as raised:
        backed_up(sides)
    said = str(raised.value)
    assert "embedded storage, which makes no snapshots. Nothing was backed up. Pause the DAGs" in said
    assert f"copy the folder '{tmp_path / 'qdrant'}'" in said
    assert recorded(sides) == []
    # What it says to do, and then a loss of both sides.
    shutil.copytree(tmp_path / "qdrant", tmp_path / "copy")
    [command] = re.findall(r"'(pg_dump .*)', and unpause them", said)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PATH", f"{programs(postgres_server)}:{os.environ['PATH']}")
    subprocess.run(command, shell=True, check=True)  # noqa: S602 (as a person types it)
    shutil.rmtree(tmp_path / "qdrant")
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {sides.postgres.database} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {sides.postgres.database}".encode())
    restore = ["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={sides.postgres.conninfo}"]
    subprocess.run([*restore, f"{sides.collection}.dump"], check=True)
    grant(sides.postgres.conninfo)
    shutil.copytree(tmp_path / "copy", tmp_path / "qdrant")
    result = sides.sync("full")
    assert (result.parity, result.counts["embedded_texts"]) == ("proven", 0)
    assert len(sides.points()) == 5
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.BACKUP_IMPOSSIBLE)
def test_nothing_to_back_up_is_said(server: TwoSides) -> None:
    with pytest.raises(ConfigurationError, match=r"leads to no collection .* Run pattern_sync_full first"):
        backed_up(server)
    server.insert(rows(5))
    server.sync("full")
    assert backed_up(server).points == 5


@pytest.mark.remedy(Code.BACKUP_IMPOSSIBLE)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE pattern_sync_checkpoints SET unfinished_in = 'x'", "its server started again since"),
        ("UPDATE pattern_sync_checkpoints SET watermark_xid = NULL", "did not reach its end"),
        ("UPDATE pattern_sync_checkpoints SET progress = '99-x'", "is older than what the database knows"),
        ("DELETE FROM pattern_sync_checkpoints", "knows of no sync with this collection"),
    ],
)
def test_sides_that_do_not_belong_together_are_not_backed_up(server: TwoSides, change: str, reason: str) -> None:
    server.insert(rows(5))
    server.sync("full")
    physical = backed_up(server).collection
    server.execute(change)
    with pytest.raises(ConfigurationError, match=f"hold no common progress: .*{reason}.* Run pattern_sync_full"):
        backed_up(server)
    assert snapshots(server, physical) == set(recorded(server))
    assert len(recorded(server)) == 1
    server.sync("full")
    backed_up(server)


def test_a_run_that_was_killed_in_the_middle_is_no_hindrance(server: TwoSides) -> None:
    """A full sync that finds nothing to write would leave this as it is."""
    server.insert(rows(5))
    server.sync("full")
    [(token,)] = server.execute(
        "UPDATE pattern_sync_checkpoints SET pending_progress = '99-x', unfinished_in = %s RETURNING progress",
        [asyncio.run(_incarnation(server))],
    )
    assert backed_up(server).number == token_number(token)


async def _incarnation(sides: TwoSides) -> str:
    async with PatternSource.open(sides.postgres) as source:
        return (await source.horizon()).incarnation


@pytest.mark.remedy(Code.BACKUP_IMPOSSIBLE)
def test_points_that_are_older_than_the_database_are_not_backed_up(server: TwoSides) -> None:
    """A snapshot that was restored in place leaves the description as it is: only the points show it."""
    server.insert(rows(5))
    server.sync("full")
    upload = restored(server, backed_up(server))
    server.insert(rows(5, 50))
    server.sync()
    upload()
    with pytest.raises(ConfigurationError, match="lacks what was written to it last"):
        backed_up(server)
    server.sync("full")
    assert backed_up(server).points == 10


# --- what is made


def test_both_sides_carry_the_number_and_no_run_writes_meanwhile(
    server: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    server.insert(rows(5))
    server.sync("full")
    [(physical, token)] = server.execute("SELECT collection, progress FROM pattern_sync_checkpoints")

    async def beside_a_run() -> Backup:
        async with LockedSession.open(server.postgres) as session:
            await session.take(collection_lock(physical))
            settings = BackupSettings(collection=server.collection)
            work = back_up(server.postgres, server.qdrant, server.embedding, settings, RunIdentity(uuid.uuid4()))
            waiting = asyncio.create_task(work)
            while "Another sync run holds the lock" not in caplog.text:
                await asyncio.sleep(0.02)
            assert await session.fetch("backup_list", name=server.collection) == []
            await session.release(collection_lock(physical))
            return await waiting

    with caplog.at_level("INFO"):
        backup = asyncio.run(beside_a_run())
    assert backup.number == token_number(token)
    assert (backup.collection, backup.points, backup.removed, backup.others) == (physical, 5, (), 0)
    assert f"--file={server.collection}-{backup.number}.dump" in backup.dump
    assert f"--output {server.collection}-{backup.number}.snapshot" in backup.download
    assert backup.dump in backup.summary()
    assert snapshots(server, physical) == {backup.snapshot}
    [noted] = server.execute("SELECT collection, snapshot, name, progress, points, bytes FROM pattern_sync_backups")
    assert noted == (physical, backup.snapshot, server.collection, token, 5, backup.bytes)


def test_only_snapshots_of_this_dag_are_pruned(server: TwoSides) -> None:
    server.insert(rows(5))
    server.sync("full")
    first = backed_up(server)

    async def by_hand(client: Any) -> str:
        await asyncio.sleep(1 - time.time() % 1)
        return str((await client.create_snapshot(first.collection)).name)

    others: str = server.with_client(by_hand)
    second = backed_up(server, keep=2)
    assert (second.removed, second.others) == ((), 1)
    third = backed_up(server, keep=2)
    assert third.removed == (first.snapshot,)
    assert snapshots(server, first.collection) == {others, second.snapshot, third.snapshot}
    # One that somebody else deleted does not count as kept.
    server.with_client(lambda client: client.delete_snapshot(first.collection, third.snapshot))
    fourth = backed_up(server, keep=2)
    assert recorded(server) == [second.snapshot, fourth.snapshot]
    assert snapshots(server, first.collection) == {others, second.snapshot, fourth.snapshot}


def test_snapshots_of_an_old_collection_go_with_it(server: TwoSides) -> None:
    """Without its collection Qdrant lists a snapshot no more, and nobody could delete it."""
    server.insert(rows(5))
    server.sync("full")
    old = backed_up(server)
    other = server.with_embedding(dimension=96)
    other.sync("full")

    async def unused(client: Any) -> None:
        metadata = (await client.get_collection(old.collection)).config.metadata
        changed = {METADATA_KEY: {**metadata[METADATA_KEY], "unused_since": "2020-01-01T00:00:00+00:00"}}
        await client.update_collection(old.collection, metadata=changed)

    server.with_client(unused)
    new = backed_up(other)
    settings = RetentionSettings(collection=server.collection, patience_seconds=0.0)
    assert asyncio.run(prune(server.postgres, server.qdrant, settings)).old == (old.collection,)
    assert recorded(server) == [new.snapshot]

    async def made_again(client: Any) -> int:
        vectors = models.VectorParams(size=4, distance=models.Distance.COSINE)
        await client.create_collection(old.collection, vectors_config=vectors)
        return len(await client.list_snapshots(old.collection))

    assert server.with_client(made_again) == 0


# --- what comes back


def test_a_restored_snapshot_costs_the_texts_that_changed_since(server: TwoSides) -> None:
    server.insert(rows(20))
    server.sync("full")
    upload = restored(server, backed_up(server))
    server.execute(
        "UPDATE pattern_lineage_nodes SET metadata = '{}' WHERE id IN (SELECT min(id::text)::uuid FROM "
        "pattern_lineage_nodes)"
    )
    server.insert(rows(3, 50))
    server.sync()
    upload()
    result = server.sync()
    assert (result.kind, result.counts["embedded_texts"], result.counts["payload_only"]) == ("full", 3, 1)
    server.assert_equal_sides()


def test_a_lost_collection_that_comes_back_from_its_snapshot_costs_no_text(server: TwoSides) -> None:
    server.insert(rows(20))
    server.sync("full")
    backup = backed_up(server)
    upload = restored(server, backup)
    server.with_client(lambda client: client.delete_collection(backup.collection))
    upload()
    result = server.sync("full")
    assert (result.parity, result.counts["embedded_texts"]) == ("proven", 0)
    server.assert_equal_sides()


@pytest.mark.parametrize("recipe", [None, "another"])
def test_vectors_are_taken_from_another_collection_of_the_recipe(sides: TwoSides, recipe: str | None) -> None:
    """The collection is lost, and an older one of the same model is there, or a snapshot was restored beside it."""
    sides.insert(rows(20))
    sides.sync("full")
    [(physical,)] = sides.execute("SELECT collection FROM pattern_sync_checkpoints")
    beside = f"{sides.collection}__0123abcd"

    async def move(client: Any) -> None:
        config = (await client.get_collection(physical)).config
        metadata = config.metadata
        if recipe:
            metadata = {METADATA_KEY: {**metadata[METADATA_KEY], "recipe": recipe}}
        await client.create_collection(
            beside,
            vectors_config=config.params.vectors,
            sparse_vectors_config=config.params.sparse_vectors,
            metadata=metadata,
        )
        records, _ = await client.scroll(physical, limit=100, with_payload=True, with_vectors=True)
        points = [models.PointStruct(id=one.id, vector=one.vector, payload=one.payload) for one in records]
        # One of them is of an older text.
        points[0].payload["embedding_hash"] = "old"
        await client.upsert(beside, points)
        await client.delete_collection(physical)

    sides.with_client(move)
    # Killed in the middle, it goes on so.
    sides.sync("full", limit=5)
    result = sides.sync("full")
    assert result.parity == "proven"
    total = sides.execute("SELECT sum(embedded_texts)::int FROM pattern_sync_runs WHERE kind = 'full'")[0][0] - 20
    assert total == (20 if recipe else 1)
    sides.assert_equal_sides()
    # Once it is proven it needs no other.
    sides.insert(rows(2, 60))
    assert sides.sync().counts["embedded_texts"] == 2


def test_what_belongs_to_another_database_gives_no_vectors(sides: TwoSides) -> None:
    sides.insert(rows(4))
    sides.sync("full")
    [(physical,)] = sides.execute("SELECT collection FROM pattern_sync_checkpoints")

    async def move(client: Any) -> None:
        config = (await client.get_collection(physical)).config
        described = config.metadata[METADATA_KEY]
        foreign = {**described, "database": {**described["database"], "name": "staging"}}
        await client.create_collection(
            f"{sides.collection}__0123abcd", vectors_config=config.params.vectors, metadata={METADATA_KEY: foreign}
        )
        await client.delete_collection(physical)

    sides.with_client(move)
    assert sides.sync("full").counts["embedded_texts"] == 4


def test_a_key_is_in_no_command(server: TwoSides) -> None:
    server.insert(rows(2))
    server.sync("full")
    backup = backed_up(replace(server, qdrant=replace(server.qdrant, api_key="hunter2")))
    assert "hunter2" not in str(backup.as_xcom())
    assert "$QDRANT_API_KEY" in backup.download
