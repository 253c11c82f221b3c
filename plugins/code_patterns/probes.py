"""The tests behind the Test button of a connection; each takes a few seconds at most."""

import asyncio
import time
from dataclasses import replace

import psycopg
from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.embeddings import open_embedder
from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.migrations import ledger
from code_patterns.migrations.files import read_migrations
from code_patterns.migrations.session import reading
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant import Qdrant, open_client, refuse_old_qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.retry import RetryPolicy
from code_patterns.sql import query
from code_patterns.sync.collection import stored_of

SECONDS = 5.0
"""Most seconds that a test takes."""


def probe_postgres(config: PostgresConfig) -> str:
    """Log in, and say which tables and which migration the database has.

    :raises ConfigurationError: the login fails, the server is too old, or the role may not read the patterns
    :raises OutageError: the server cannot be used now
    """
    options = {**config.options, "connect_timeout": int(SECONDS) - 1}
    with reading(replace(config, options=options)) as connection:
        # Not an option of the connection: every session starts without a limit.
        connection.execute(f"SET statement_timeout = '{SECONDS - 1:.0f}s'".encode())
        try:
            [(version, role, there, readable)] = connection.execute(query("connection_probe")).fetchall()
            entries = ledger.read(connection)
        except psycopg.errors.QueryCanceled:
            raise OutageError(
                Code.POSTGRES_AWAY, f"PostgreSQL at {config.address} gave no answer within {SECONDS:.0f} s."
            ) from None
    found = (
        f"Logged in as '{role}' to PostgreSQL {version}, database '{config.database}' at {config.host}:{config.port}."
    )
    if there and not readable:
        raise ConfigurationError(
            Code.POSTGRES_RIGHT_MISSING, f"{found} The role may not read pattern_lineage_nodes: grant it SELECT."
        )
    return f"{found} {_migrated(entries) if entries else _never_migrated(there)}"


def _migrated(entries: tuple[ledger.Entry, ...]) -> str:
    dirty = [entry.version for entry in entries if entry.dirty]
    if dirty:
        return f"Migration {dirty[0]:03d} was not finished: run schema_migration."
    last, newest = entries[-1].version, read_migrations()[-1].version
    behind = "" if last >= newest else f"; the newest is {newest:03d}: run schema_migration"
    return f"The last migration is {last:03d}{behind}."


def _never_migrated(there: bool) -> str:
    tables = "pattern_lineage_nodes is there, but" if there else "None of the tables is there yet:"
    return f"{tables} no migration has run. Run schema_migration."


async def probe_qdrant(config: QdrantConfig, collection: str) -> str:
    """Say the server's version, its collections, and the vectors of the patterns' collection.

    :param collection: alias or collection that the sync writes
    :raises PatternsError: the server cannot be reached, or the sync cannot use it or the collection
    """
    hurried = replace(config, timeout=min(config.timeout, int(SECONDS)))
    client = await open_client(hurried, wait_seconds=SECONDS / 2)
    try:
        async with asyncio.timeout(SECONDS):
            qdrant = Qdrant(hurried, client)
            version = await refuse_old_qdrant(qdrant)
            listed = await qdrant.call("listing the collections", client.get_collections, attempts=1)
            aliases = await qdrant.call("listing the aliases", client.get_aliases, attempts=1)
            names = {item.name for item in listed.collections} | {item.alias_name for item in aliases.aliases}
            held = f"There is no '{collection}' yet: pattern_sync_full makes it."
            if collection in names:
                doing = f"reading the collection '{collection}'"
                held = _held(
                    collection, await qdrant.call(doing, lambda: client.get_collection(collection), attempts=1)
                )
    except TimeoutError:
        raise OutageError(
            Code.QDRANT_AWAY, f"Qdrant at {config.address} gave no answer within {SECONDS:.0f} s."
        ) from None
    finally:
        await client.close()
    where = (
        f"the embedded storage {config.path}" if config.path else f"Qdrant{version and ' '}{version} at {config.url}"
    )
    return f"Reached {where}. Collections: {len(listed.collections)}. {held}"


def _held(collection: str, info: models.CollectionInfo) -> str:
    stored = stored_of(collection, info)
    size = stored.fit_vectors(f"'{collection}'").size
    return f"'{collection}' holds {info.points_count or 0:,} points, one vector of {size} dimensions each."


async def probe_embedding(config: EmbeddingConfig) -> str:
    """Embed one text, and say the length of its vector and how long it took.

    :raises PatternsError: the server cannot be reached, refuses key or model, or makes vectors of another length
    """
    hurried = replace(config, timeout=min(config.timeout, SECONDS))
    embedder = open_embedder(hurried, retry=RetryPolicy(attempts=1))
    started = time.monotonic()
    try:
        async with asyncio.timeout(SECONDS):
            await embedder.check()
    except TimeoutError:
        raise OutageError(
            Code.EMBEDDINGS_AWAY, f"The embedding server of {config.address} gave no answer within {SECONDS:.0f} s."
        ) from None
    finally:
        await embedder.aclose()
    took = (time.monotonic() - started) * 1000
    return f"Embedded one text in {took:.0f} ms: model '{config.model}', {config.dimension} dimensions."
