"""The embedded storage of qdrant-client: one process at a time has it open, and loads all of it.

What a process has loaded stays in its memory when it closes the storage. If it opens the storage again, and nobody has
written meanwhile, nothing is loaded. Without that every search on the Patterns page would load every point.
"""

import asyncio
import fcntl
import json
import logging
import os
import sqlite3
import time
from collections.abc import Hashable, Mapping
from contextlib import ExitStack, closing, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from qdrant_client import AsyncQdrantClient
from qdrant_client.local.async_qdrant_local import AsyncQdrantLocal

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.servers.qdrant_config import QdrantConfig

log = logging.getLogger(__name__)

WAIT_SECONDS = 600.0
"""How long a run waits for another process that has the storage open."""
_POLL_SECONDS = 0.01

_kept: dict[int, "EmbeddedClient"] = {}
"""The storage that a process closed last, by the process's id: a forked child must not use its parent's connections."""


class BusyStorageError(OutageError):
    """Another process has the embedded storage open."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.EMBEDDED_STORAGE_BUSY, message)


async def open_embedded(config: QdrantConfig, wait_seconds: float) -> "EmbeddedClient":
    """Open the storage; wait while another process has it open.

    :raises BusyStorageError: another process had it open for longer than that
    :raises ConfigurationError: it cannot be opened
    """
    deadline = time.monotonic() + wait_seconds
    announced = False
    while True:
        try:
            return _open(Path(config.path))
        except BlockingIOError:
            pass
        except RuntimeError as error:
            if "already accessed" not in str(error):
                raise
        except OSError as error:
            raise ConfigurationError(
                Code.EMBEDDED_STORAGE_UNUSABLE,
                f"The embedded Qdrant storage of {config.address} cannot be opened: {error}. "
                "Check the extra 'path' and its permissions.",
            ) from None
        # What qdrant-client raises depends on which of its files is damaged, and where.
        except Exception as error:
            raise ConfigurationError(
                Code.EMBEDDED_STORAGE_UNUSABLE,
                f"The embedded Qdrant storage of {config.address} cannot be loaded: {type(error).__name__}: {error}. "
                "Its files are damaged, or of another version of qdrant-client. Move the folder away: the next "
                "pattern_sync_full fills a new one.",
            ) from None
        if time.monotonic() >= deadline:
            raise BusyStorageError(
                f"The embedded Qdrant storage of {config.address} was in use by another process for "
                f"{wait_seconds:.0f} seconds. Stop that process, or use a Qdrant server, which serves many."
            )
        if not announced:
            log.info("Waiting: another process has the embedded Qdrant storage %s open.", config.path)
            announced = True
        await asyncio.sleep(_POLL_SECONDS)


class EmbeddedClient(AsyncQdrantClient):
    """A client of an embedded storage that nobody changes while it is loaded.

    qdrant-client loads the storage first and locks it then. So it could work with what was there before another
    process wrote, and write that over it. This client's lock is held from before the loading until the end.

    :param path: the storage
    :param lock: the lock, held
    :raises RuntimeError: a process that knows nothing of that lock has the storage open
    :raises OSError: it cannot be opened
    """

    _client: AsyncQdrantLocal

    def __init__(self, path: Path, lock: TextIOWrapper) -> None:
        self.is_as_loaded = True
        """Whether loading would give what the memory holds. That is not known after a request has failed."""
        self._path = path
        self._lock = lock
        self._left: Hashable = None
        self._log_ahead("*")
        # One process has it open, and one thread at a time works with it, though not always the same one.
        super().__init__(path=str(path), force_disable_check_same_thread=True)

    async def create_collection(self, collection_name: str, **arguments: Any) -> bool:  # type: ignore[override]
        """Create a collection."""
        created = await super().create_collection(collection_name, **arguments)
        self._log_ahead(collection_name)
        # Its numbers are rounded to 32 bits now, and are of 64 bits once it is loaded: ties would be broken otherwise.
        self.is_as_loaded = False
        return created

    async def close(self, grpc_grace: float | None = None, **kwargs: Any) -> None:
        """Close the storage, and let others open it."""
        if self._client.closed:
            return
        if former := _kept.pop(os.getpid(), None):
            former.forget()
        try:
            self._left = self._written_out() if self.is_as_loaded else None
            if self._left:
                self._client._closed = True
                _kept[os.getpid()] = self
            else:
                self.forget()
        finally:
            self._lock.close()
            if self._client._flock_file:
                self._client._flock_file.close()

    def reopen(self, path: Path, lock: TextIOWrapper, theirs: TextIOWrapper) -> bool:
        """Open the storage again without loading it; return whether that is possible.

        :param path: the storage that is wanted
        :param lock: the lock, held
        :param theirs: that of qdrant-client, held
        """
        with suppress(OSError, sqlite3.Error):
            if path == self._path and self._state() == self._left:
                self._lock, self._client._flock_file = lock, theirs
                self._client._closed = False
                return True
        return False

    def forget(self) -> None:
        """Give up what is loaded."""
        for collection in self._client.collections.values():
            collection.close()
        self._client._closed = True

    def _log_ahead(self, collection: str) -> None:
        """Let SQLite write a log ahead, which halves the time of a first sync: each point waits for the disk.

        A database file keeps that, see https://www.sqlite.org/wal.html.
        """
        for file in self._path.glob(f"collection/{collection}/storage.sqlite"):
            # Without it all works as well. What is really wrong with the file the client says.
            with suppress(sqlite3.Error), closing(sqlite3.connect(file)) as database:
                database.execute("PRAGMA journal_mode = WAL")

    def _written_out(self) -> Hashable:
        """Empty the logs, so that the files alone are the storage; return their state, or ``None`` without one."""
        try:
            for file, database in self._databases().items():
                # To empty an empty log looks to others as if something had been written.
                if file.with_name(f"{file.name}-wal").stat().st_size:
                    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return self._state()
        except (OSError, sqlite3.Error):
            return None

    def _state(self) -> Hashable:
        """What differs after anybody has written, or has put other files in the place of these.

        ``data_version`` tells of other connections' commits, see https://www.sqlite.org/pragma.html#pragma_data_version.
        """
        databases = self._databases()
        return (
            (self._path / "meta.json").read_bytes(),
            tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in (file.stat() for file in databases)),
            tuple(database.execute("PRAGMA data_version").fetchone() for database in databases.values()),
        )

    def _databases(self) -> Mapping[Path, sqlite3.Connection]:
        """The file of each collection, and the connection to it."""
        return {
            self._path / "collection" / name / "storage.sqlite": collection.storage.storage
            for name, collection in self._client.collections.items()
            if collection.storage
        }


def _open(path: Path) -> EmbeddedClient:
    """Open the storage.

    :raises BlockingIOError: another process has it open
    """
    path.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        lock = _lock(held, path / ".opened")
        theirs = _lock(held, path / ".lock")
        if kept := _kept.pop(os.getpid(), None):
            if kept.reopen(path, lock, theirs):
                held.pop_all()
                return kept
            kept.forget()
        # qdrant-client takes its lock itself, after it has loaded everything.
        theirs.close()
        _begin(path)
        client = EmbeddedClient(path, lock)
        held.pop_all()
        return client


def _begin(path: Path) -> None:
    """Make the list of collections that a new storage begins with, whole or not at all.

    qdrant-client makes it empty first. Killed in that moment, it leaves a storage that nobody can load.
    """
    listing = path / "meta.json"
    begun = listing.exists() and listing.stat().st_size
    # With collections beside it, an empty list is a damage that a person must see.
    if not begun and not (path / "collection").exists():
        new = path / "meta.json.new"
        new.write_text(json.dumps({"collections": {}, "aliases": {}}), "utf-8")
        new.replace(listing)


def _lock(held: ExitStack, path: Path) -> TextIOWrapper:
    file = held.enter_context(path.open("a"))
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file
