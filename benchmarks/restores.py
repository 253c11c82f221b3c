"""Every way of docs/restore.md, done: how long it takes, and how many texts are embedded again.

``PATTERNS_TEST_QDRANT_URL=… PYTHONPATH=plugins python -m benchmarks.restores --size large`` needs a Qdrant server. It
starts PostgreSQL clusters of its own, with the programs of the tests, or those of the folder that
``PATTERNS_BENCH_POSTGRES_PROGRAMS`` names. After each way one full sync must prove parity; with ``--whole`` a
verification must find every point whole too. It prints a Markdown table and keeps it in ``results.json``.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg
from qdrant_client import QdrantClient

from benchmarks.jobs import blocking_client, embedding_of, postgres_of, qdrant_of, settings_of
from benchmarks.patterns import change, load
from benchmarks.postgres_cluster import Cluster
from benchmarks.results import save
from benchmarks.table import NEEDS_SERVER
from benchmarks.workload import QDRANT_API_KEY, Workload
from code_patterns.migrations.runner import apply
from code_patterns.run_identity import RunIdentity
from code_patterns.sync.backup import Backup, back_up
from code_patterns.sync.runs import sync
from code_patterns.sync.sync_result import SyncResult
from code_patterns.sync.sync_settings import BackupSettings

SIZES = {"small": 1_000, "medium": 10_000, "large": 100_000}
DIMENSION = 64
DATABASE = "patterns"
CHANGED_SHARE = 100
"""One pattern of so many is changed, one deleted and one new, from each backup until what is lost."""
INSERT = """
INSERT INTO pattern_lineage_nodes (pattern_id, pattern_name, pattern_type, pattern_data, file_path, language)
SELECT 'new ' || %(round)s || number, pattern_name, 'code',
    jsonb_build_object('code', (pattern_data ->> 'code') || E'\\n# new ' || %(round)s || number), file_path, language
FROM (SELECT *, row_number() OVER () AS number FROM pattern_lineage_nodes LIMIT %(count)s) AS taken
"""
DELETE = """
DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes ORDER BY id DESC LIMIT %s)
"""
HEADER = ["what was lost, and what it came from", "restore (s)", "run (s)", "texts embedded", "rows deleted or written"]


@dataclass
class Installation:
    """Both sides, and what was backed up of them.

    :param cluster: where the database is
    :param workload: both sides as jobs take them
    :param files: for the dump and the snapshot
    :param whole: whether to read every point whole after each way
    """

    cluster: Cluster
    workload: Workload
    files: Path
    whole: bool = False

    @property
    def dump(self) -> Path:
        """The file of the dump."""
        return self.files / "patterns.dump"

    @property
    def snapshot(self) -> Path:
        """The file of the snapshot."""
        return self.files / "patterns.snapshot"

    def sync(self, mode: str, **settings: bool) -> SyncResult:
        """Run a sync."""
        return asyncio.run(
            sync(
                postgres_of(self.workload),
                qdrant_of(self.workload),
                embedding_of(self.workload, "hashing", DIMENSION),
                settings_of(self.workload, mode, **settings),
                RunIdentity(uuid.uuid4()),
            )
        )

    def back_up(self) -> Backup:
        """Back up both sides, as ``pattern_backup`` and its commands do."""
        backup = asyncio.run(
            back_up(
                postgres_of(self.workload),
                qdrant_of(self.workload),
                embedding_of(self.workload, "hashing", DIMENSION),
                BackupSettings(collection=self.workload.collection),
                RunIdentity(uuid.uuid4()),
            )
        )
        self.cluster.dump(DATABASE, self.dump)
        url = f"{self.workload.qdrant_url}/collections/{backup.collection}/snapshots/{backup.snapshot}"
        with (
            httpx.stream("GET", url, headers=_headers(), timeout=600) as answer,
            self.snapshot.open("wb") as file,
        ):
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                file.write(piece)
        return backup

    def work(self, name: str) -> datetime:
        """Change, delete and add patterns, and sync them; return a moment in the middle of it."""
        count = self.workload.count // CHANGED_SHARE
        change(self.workload.dsn, count, name)
        self.sync("incremental")
        time.sleep(0.2)
        moment = datetime.now(UTC)
        time.sleep(0.2)
        with psycopg.connect(self.workload.dsn, autocommit=True) as connection:
            connection.execute(INSERT, {"round": name, "count": count})
            connection.execute(DELETE, [count])
        self.sync("incremental")
        return moment

    def upload(self, physical: str) -> None:
        """Restore the collection from its snapshot."""
        with self.snapshot.open("rb") as file:
            answer = httpx.post(
                f"{self.workload.qdrant_url}/collections/{physical}/snapshots/upload",
                params={"priority": "snapshot", "wait": "true"},
                files={"snapshot": file},
                headers=_headers(),
                timeout=600,
            )
        answer.raise_for_status()

    @contextmanager
    def client(self) -> Iterator[QdrantClient]:
        """Open a client."""
        client = blocking_client(self.workload)
        try:
            yield client
        finally:
            client.close()

    def drop(self) -> None:
        """Lose every collection of this benchmark."""
        with self.client() as client:
            for item in client.get_collections().collections:
                if item.name.startswith(self.workload.collection):
                    client.delete_collection(item.name)


def _headers() -> dict[str, str]:
    return {"api-key": QDRANT_API_KEY} if QDRANT_API_KEY else {}


def main() -> None:
    """Do every way, print the table, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restores", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="small takes a minute, large half an hour")
    parser.add_argument("--whole", action="store_true", help="read every point whole after each way")
    chosen = parser.parse_args()
    size = chosen.size
    url = os.environ.get("PATTERNS_TEST_QDRANT_URL", "")
    if not url:
        print(f"Restores of both sides: {NEEDS_SERVER}.")
        return
    # When it is ended from outside, it still stops the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The benchmark was ended."))
    with tempfile.TemporaryDirectory(prefix="restores-") as name:
        folder, files = Path(name), Path(name, "files")
        # The servers' user must be able to enter it, and to write the dump.
        files.mkdir()
        folder.chmod(0o755)
        files.chmod(0o777)
        with Cluster.running(folder / "first") as cluster:
            collection = f"bench_{uuid.uuid4().hex[:12]}"
            workload = Workload(cluster.dsn(DATABASE), "", url, "", collection, SIZES[size])
            installation = Installation(cluster, workload, files, chosen.whole)
            try:
                lines = [*_ways(installation, folder)]
            finally:
                installation.drop()
            with installation.client() as client:
                version = client.info().version
        each = f"{SIZES[size] // CHANGED_SHARE:,}"
        conditions = (
            f"Qdrant server {version}; {SIZES[size]:,} patterns, {DIMENSION} dimensions of the hashing embedder; after "
            f"each backup {each} patterns were changed, {each} deleted and {each} new"
        )
        save("restores", conditions, [], size=size, comparison=[HEADER, *lines])


def _ways(here: Installation, folder: Path) -> Iterator[list[str]]:
    count, cluster = here.workload.count, here.cluster
    with psycopg.connect(cluster.dsn("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {DATABASE}")
    apply(postgres_of(here.workload), "up", None, run_id="benchmark")
    load(here.workload.dsn, count)
    first = here.sync("full")
    yield ["nothing: the first sync, for comparison", "", *_told(first)]
    physical = here.back_up().collection
    backed_up = _timed(here.back_up)
    sizes = f"snapshot {_mebibytes(here.snapshot)}, dump {_mebibytes(here.dump)}"
    yield [f"nothing: a backup of both sides, for comparison ({sizes})", backed_up, "", "", ""]

    def restore_both() -> None:
        cluster.restore(DATABASE, here.dump)
        here.upload(physical)

    here.work("a")
    here.drop()
    yield _tried(here, "both sides, from dump and snapshot", restore_both)
    here.work("b")
    yield _tried(here, "Qdrant only, from an older snapshot", lambda: here.upload(physical))
    yield _tried(here, "PostgreSQL only, from an older dump", lambda: cluster.restore(DATABASE, here.dump))
    cluster.back_up_base()
    moment = here.work("c")
    yield _tried(here, "PostgreSQL, taken back to a point in time", lambda: cluster.go_back_to(moment))
    here.back_up()
    here.work("d")
    here.drop()
    with Cluster.running(folder / "second") as other:

        def move() -> None:
            other.restore(DATABASE, here.dump)
            here.upload(physical)

        moved = Workload(**{**vars(here.workload), "dsn": other.dsn(DATABASE)})
        there = Installation(other, moved, here.files, here.whole)
        yield _tried(there, "both, from dump and snapshot in another cluster", move, take_over=True)
        there.drop()
        yield _tried(there, "Qdrant, without a snapshot", lambda: None)


def _tried(here: Installation, name: str, restore: Callable[[], None], **settings: bool) -> list[str]:
    """Restore, run one full sync, and see both sides equal."""
    print(f"Trying: {name}", file=sys.stderr, flush=True)
    seconds = _timed(restore)
    result = here.sync("full", **settings)
    if result.parity != "proven" or (here.whole and here.sync("verify").parity != "proven"):
        sys.exit(f"After the restore of {name} both sides are not equal.")
    return [name, seconds, *_told(result)]


def _told(result: SyncResult) -> list[str]:
    counts = result.counts
    written = sum(counts[name] for name in ("new", "changed", "words_only", "payload_only", "deleted"))
    return [f"{result.seconds:,.1f}", f"{counts['embedded_texts']:,}", f"{written:,}"]


def _timed(work: Callable[[], object]) -> str:
    started = time.monotonic()
    work()
    return f"{time.monotonic() - started:,.1f}"


def _mebibytes(file: Path) -> str:
    return f"{file.stat().st_size / 2**20:,.0f} MiB"


if __name__ == "__main__":
    main()
