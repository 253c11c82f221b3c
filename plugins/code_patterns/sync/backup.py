"""Back up both sides: a Qdrant snapshot, and the command that dumps the database, labelled with the same number."""

import logging
import shlex
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from qdrant_client import models

from code_patterns import log_table
from code_patterns.codes import Code
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError
from code_patterns.run_identity import RunIdentity
from code_patterns.servers.locks import LockedSession
from code_patterns.servers.patience import patiently
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import Qdrant, refuse_old_qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.checkpoint import read_checkpoint
from code_patterns.sync.collection import Collection, Destination
from code_patterns.sync.identity import token_number
from code_patterns.sync.judgement import judge
from code_patterns.sync.resolution import resolve
from code_patterns.sync.run_locks import collection_lock
from code_patterns.sync.snapshots import make_snapshot, prune_snapshots, refuse_several_nodes, snapshot_names
from code_patterns.sync.source import PatternSource
from code_patterns.sync.stored_points import StoredPoints
from code_patterns.sync.sync_settings import BackupSettings

log = logging.getLogger(__name__)

SHOWN_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
"""Parameters of libpq that the command repeats: none of them is a secret."""


@dataclass(frozen=True)
class Backup:
    """What a backup made.

    :param number: the number of the progress token that both sides held
    :param collection: the real collection
    :param snapshot: name of its snapshot in Qdrant
    :param points: number of points in it
    :param bytes: size of the snapshot's file
    :param checksum: its SHA-256; ``None`` if Qdrant told none
    :param download: the command that fetches the snapshot, with the number in the name of its file
    :param dump: the command that dumps the database, with the same number in the name of its file
    :param removed: names of older snapshots that were deleted
    :param others: how many snapshots of the collection somebody else made; they stay
    """

    number: int
    collection: str
    snapshot: str
    points: int
    bytes: int
    checksum: str | None
    download: str
    dump: str
    removed: tuple[str, ...]
    others: int

    def as_xcom(self) -> dict[str, Any]:
        """All of it as JSON."""
        return asdict(self) | {"removed": [*self.removed]}

    def table(self) -> str:
        """The result for the task log."""
        counts = {"number": self.number, "points": self.points, "bytes": self.bytes, "removed": len(self.removed)}
        return "\n".join(["Backup:", *(log_table.row(name, count) for name, count in counts.items())])

    def summary(self) -> str:
        """The result in few lines, with the commands to run now."""
        removed = f"; {len(self.removed)} older deleted" if self.removed else ""
        return (
            f"Backup {self.number}: snapshot '{self.snapshot}' of '{self.collection}', {self.points:,} points, "
            f"{self.bytes:,} bytes{removed}. Now run both:\n{self.dump}\n{self.download}"
        )


@dataclass(frozen=True)
class _Opened:
    """Both sides, open."""

    source: PatternSource
    session: LockedSession
    qdrant: Qdrant


async def back_up(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    embedding: EmbeddingConfig,
    settings: BackupSettings,
    run: RunIdentity,
) -> Backup:
    """Make a snapshot of the collection that readers see, while no run writes to it, and delete older ones.

    The collection's lock is held until the snapshot is complete. So both sides hold the same progress token in it and
    in a dump that starts before the next run writes. A later dump is as good, see docs/restore.md.

    :param embedding: says only how the collection's vectors are made; the server is not asked
    :param run: noted beside the snapshot
    :raises ConfigurationError: there is nothing to make a snapshot of, or both sides do not belong together
    :raises OutageError: a server is away or fails
    """
    if qdrant.path:
        raise ConfigurationError(
            Code.BACKUP_IMPOSSIBLE,
            f"The Qdrant of {qdrant.address} is an embedded storage, which makes no snapshots. Nothing was backed up. "
            f"Pause the DAGs, wait until no run is active, copy the folder '{qdrant.path}', dump the database with "
            f"'{dump_command(postgres, settings.collection, None)}', and unpause them.",
        )
    opened, held = await patiently(partial(_open, postgres, qdrant, settings), settings.patience_seconds)
    async with held:
        find = partial(_find, opened, embedding, settings)
        collection = await find()
        await refuse_several_nodes(opened.qdrant, collection.physical)
        await opened.session.take(collection_lock(collection.physical))
        locked, collection = collection.physical, await find()
        if collection.physical != locked:
            raise ConfigurationError(
                Code.BACKUP_IMPOSSIBLE,
                f"While this run waited, '{settings.collection}' began to name '{collection.physical}'. "
                "Start it again.",
            )
        token = await _agreed_token(opened, collection)
        points = await StoredPoints(opened.qdrant, collection).count()
        made = await make_snapshot(opened.qdrant, collection.physical)
        await opened.session.assert_held()
        await opened.session.execute(
            "backup_record",
            collection=collection.physical,
            snapshot=made.name,
            name=settings.collection,
            target_identity=collection.identity,
            progress=token,
            points=points,
            bytes=made.size,
            checksum=made.checksum,
            dag_run_id=run.dag_run_id,
        )
        removed = await prune_snapshots(opened.qdrant, opened.session, settings.collection, settings.keep)
        others = await _others(opened, collection)
    return _backup(postgres, qdrant, settings, collection, made, token, points, removed, others)


def dump_command(postgres: PostgresConfig, name: str, number: int | None) -> str:
    """The command that dumps the whole database of the patterns; it holds no secret.

    :param name: begin of the file's name
    :param number: the number in the file's name; ``None`` for none
    """
    shown = {"host": postgres.host, "port": postgres.port, "dbname": postgres.database, "user": postgres.user}
    shown |= {key: postgres.options[key] for key in SHOWN_OPTIONS if postgres.options.get(key)}
    # libpq's own quoting of values, inside the shell's.
    target = " ".join(
        "{}='{}'".format(key, f"{value}".replace("\\", r"\\").replace("'", r"\'")) for key, value in shown.items()
    )
    return f"pg_dump --format=custom --no-owner --file={_file(name, number, 'dump')} --dbname={shlex.quote(target)}"


def download_command(qdrant: QdrantConfig, collection: str, snapshot: str, file: str) -> str:
    """The command that fetches a snapshot, with the certificates of the connection; it holds no secret.

    The key reaches curl by a pipe: everybody on a machine may read the arguments of its programs.

    :param collection: the real collection
    :param file: name of the file to write, quoted
    """
    key = "printf 'api-key: %s' \"$QDRANT_API_KEY\" | " if qdrant.api_key else ""
    given = {"--cacert": qdrant.ca_file, "--cert": qdrant.cert_file, "--key": qdrant.key_file}
    options = [
        *(["--header @-"] if key else []),
        *([] if qdrant.verify else ["--insecure"]),
        *(f"{option} {shlex.quote(path)}" for option, path in given.items() if path),
        f"--output {file}",
        shlex.quote(f"{qdrant.url}/collections/{collection}/snapshots/{snapshot}"),
    ]
    return f"{key}curl --fail {' '.join(options)}"


def _file(name: str, number: int | None, kind: str) -> str:
    return shlex.quote(f"{name}.{kind}" if number is None else f"{name}-{number}.{kind}")


async def _open(
    postgres: PostgresConfig, qdrant: QdrantConfig, settings: BackupSettings
) -> tuple[_Opened, AsyncExitStack]:
    """Open everything, or nothing; the second value closes it."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(PatternSource.open(postgres, settings.target.rows))
        session = await stack.enter_async_context(LockedSession.open(postgres))
        server = await stack.enter_async_context(Qdrant.open(qdrant))
        await refuse_old_qdrant(server)
        return _Opened(source, session, server), stack.pop_all()


async def _find(opened: _Opened, embedding: EmbeddingConfig, settings: BackupSettings) -> Collection:
    """The collection that readers see."""
    collection = await resolve(
        opened.qdrant,
        settings.collection,
        embedding,
        Destination.PUBLISHED,
        await opened.source.identity(),
        target=settings.target,
    )
    if collection.stored is None or collection.outdated not in (None, collection.physical):
        raise ConfigurationError(
            Code.BACKUP_IMPOSSIBLE,
            f"'{settings.collection}' leads to no collection in Qdrant at {opened.qdrant.config.address}, so there is "
            "nothing to back up. Run pattern_sync_full first.",
        )
    return collection


async def _agreed_token(opened: _Opened, collection: Collection) -> str:
    """The progress token that both sides hold.

    A run that was killed in the middle is no hindrance: its checkpoint says so, and leads to a comparison if restored.

    :raises ConfigurationError: they do not belong together, or the last comparison of everything did not reach its end
    """
    horizon = await opened.source.horizon()
    checkpoint = await read_checkpoint(opened.session, collection)
    lost_write = False
    if checkpoint and checkpoint.witness:
        lost_write = await StoredPoints(opened.qdrant, collection).lacks(checkpoint.witness)
    judgement = judge(collection, await opened.source.identity(), checkpoint, horizon, lost_write=lost_write)
    reason, token = judgement.reason, collection.description.progress
    if reason or token is None:
        raise ConfigurationError(
            Code.BACKUP_IMPOSSIBLE,
            f"'{collection.name}' and {opened.source.config.address} hold no common progress: "
            f"{reason or 'no run has written yet'}. No snapshot was made. Run pattern_sync_full, then this DAG again.",
        )
    return token


async def _others(opened: _Opened, collection: Collection) -> int:
    made = await opened.session.fetch(
        "backup_of_collection", collection=collection.physical, target_identity=collection.identity
    )
    others = await snapshot_names(opened.qdrant, collection.physical) - {name for (name,) in made}
    if others:
        log.warning(
            "'%s' has %d snapshots that this DAG did not make, or whose answer was lost: %s. They are never pruned.",
            collection.physical,
            len(others),
            ", ".join(sorted(others)[:5]),
        )
    return len(others)


def _backup(
    postgres: PostgresConfig,
    qdrant: QdrantConfig,
    settings: BackupSettings,
    collection: Collection,
    made: models.SnapshotDescription,
    token: str,
    points: int,
    removed: list[str],
    others: int,
) -> Backup:
    number = token_number(token)
    file = _file(settings.collection, number, "snapshot")
    backup = Backup(
        number,
        collection.physical,
        made.name,
        points,
        made.size,
        made.checksum,
        download_command(qdrant, collection.physical, made.name, file),
        dump_command(postgres, settings.collection, number),
        tuple(removed),
        others,
    )
    log.info(backup.table())
    return backup
