"""What goes wrong between two servers that work, and the way back that docs/runbook.md names, followed to the end."""

import asyncio
import re
import uuid
from dataclasses import replace
from typing import Any

import pytest
from psycopg.errors import InsufficientPrivilege
from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, ParityError
from code_patterns.servers.qdrant import open_client
from tests.integration.sync.test_model_change import names_behind
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import Operation, QdrantServer
from tests.support.roles import MIGRATOR, logged_in
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def settled(sides: TwoSides) -> TwoSides:
    """Sides that agree: 10 patterns."""
    sides.insert(rows(10))
    assert sides.sync("full").parity == "proven"
    return sides


@pytest.fixture
def served_by(sides: TwoSides, embedding_server: EmbeddingServer) -> TwoSides:
    """Both sides with the vectors of a server, whose model is ``old``; 10 patterns are synced."""
    embedding_server.model = "old"
    server: dict[str, Any] = {"api": "ollama", "model": "old", "base_url": embedding_server.url, "dimension": 768}
    sides.embedding = replace(sides.embedding, **server)
    sides.insert(rows(10))
    assert sides.sync("full").parity == "proven"
    return sides


@pytest.mark.remedy(Code.PROOF_INCOMPLETE, Code.POINTS_WRONG)
def test_somebody_writes_while_both_sides_are_read(served: TwoSides, qdrant_server: QdrantServer) -> None:
    sides = replace(served, qdrant=replace(served.qdrant, url=qdrant_server.url))
    sides.insert(rows(10))
    sides.sync("full")
    written: list[str] = []

    async def write() -> None:
        client = await open_client(sides.qdrant)
        try:
            written.append(str(uuid.uuid4()))
            point = models.PointStruct(id=written[-1], vector=[1.0] * sides.embedding.dimension, payload={})
            await client.upsert(sides.collection, [point], wait=True)
        finally:
            await client.close()

    def meanwhile(operation: Operation, _: int) -> None:
        if operation == "scroll":
            asyncio.run(write())

    qdrant_server.before = meanwhile
    with pytest.raises(ParityError, match=r"read 10 of 10 rows of PostgreSQL and .* points of Qdrant, so nothing is"):
        sides.sync("verify")
    qdrant_server.before = None
    with pytest.raises(ConfigurationError, match=rf"{len(written)} points of .*{len(written)} with no code pattern"):
        sides.sync("verify")
    assert sides.sync("verify", heal=True, max_delete_fraction=1.0).parity == "proven"
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.TABLE_NOT_CAPTURED)
def test_a_view_in_a_schema_of_reports(settled: TwoSides) -> None:
    settled.execute("CREATE SCHEMA reports")
    settled.execute("CREATE VIEW reports.pattern_lineage_nodes AS SELECT * FROM public.pattern_lineage_nodes")
    settled.execute("GRANT USAGE ON SCHEMA reports TO patterns_sync")
    settled.execute("GRANT SELECT ON reports.pattern_lineage_nodes TO patterns_sync")
    settled.insert(rows(2, start=20))
    kind = "SELECT relkind FROM pg_class WHERE oid = '{}.pattern_lineage_nodes'::regclass"
    assert settled.execute(kind.format("reports")) == [("v",)]

    def connected(schemas: str) -> TwoSides:
        return replace(settled, postgres=replace(settled.postgres, options={"options": f"-c search_path={schemas}"}))

    for mode in ("incremental", "full"):
        with pytest.raises(ConfigurationError, match=r"is a view.*point the connection at the database and schema"):
            connected("reports,public").sync(mode)
    assert len(settled.points()) == 10
    assert settled.execute(kind.format("public")) == [("r",)]
    assert connected("public").sync().counts["new"] == 2
    settled.assert_equal_sides()


@pytest.mark.parametrize("how", ["insert", "restore"])
@pytest.mark.remedy(Code.DATABASE_UNNAMED)
def test_a_database_without_an_identity(settled: TwoSides, how: str) -> None:
    [row] = settled.execute("DELETE FROM pattern_sync_database RETURNING id")
    settled.insert(rows(2, start=20))
    assert settled.execute("SELECT * FROM pattern_sync_database") == []
    for mode in ("incremental", "full", "verify"):
        with pytest.raises(ConfigurationError, match="nothing tells this database from others") as refused:
            settled.sync(mode)
    assert len(settled.points()) == 10
    if how == "restore":
        settled.execute("INSERT INTO pattern_sync_database (id) VALUES (%s)", row)
        assert settled.sync().counts["new"] == 2
    else:
        [statement] = re.findall(r"INSERT INTO [\w ]+", refused.value.message)
        with pytest.raises(InsufficientPrivilege):
            replace(settled, postgres=settled.as_sync).execute(statement)
        replace(settled, postgres=logged_in(settled.postgres, MIGRATOR)).execute(statement)
        with pytest.raises(ConfigurationError, match=r"belongs to the database .* take_over"):
            settled.sync("full")
        assert settled.sync("full", take_over=True).parity == "proven"
    settled.assert_equal_sides()
    assert settled.sync().kind == "incremental"


@pytest.mark.parametrize("how", ["full sync", "old model"])
@pytest.mark.remedy(Code.OLD_MODEL_GONE)
def test_a_new_model_without_the_old_one(served_by: TwoSides, embedding_server: EmbeddingServer, how: str) -> None:
    embedding_server.model = "new"
    sides = served_by.with_embedding(model="new")
    sides.insert(rows(2, start=20))
    with pytest.raises(ConfigurationError, match=r"Readers of .* made with the model 'old': until pattern_sync_full"):
        sides.sync()
    assert len(sides.points()) == 10
    old, _ = names_behind(sides)
    if how == "full sync":
        assert sides.sync("full").counts["new"] == 12
        assert names_behind(sides)[0] != old
    else:
        embedding_server.model = ""
        assert sides.sync().counts["new"] == 2
        assert names_behind(sides)[0] == old
    sides.assert_equal_sides()
    assert sides.sync().kind == "incremental"


@pytest.mark.remedy(Code.NOTHING_TO_GO_BACK_TO)
def test_going_back_without_an_earlier_collection(sides: TwoSides) -> None:
    sides.insert(rows(10))
    with pytest.raises(ConfigurationError, match=r"There is no collection '.*' at .* to go back from"):
        sides.sync("full", rollback=True)
    assert sides.sync("full").parity == "proven"
    old, _ = names_behind(sides)
    other = sides.with_embedding(dimension=96)
    assert other.sync("full").parity == "proven"
    sides.with_client(lambda client: client.delete_collection(old))
    before = other.points()
    with pytest.raises(ConfigurationError, match=f"{old} is gone.*there is nothing to go back to"):
        other.sync("full", rollback=True)
    assert (other.points(), names_behind(other)[1]) == (before, {names_behind(other)[0]})
    # The old model again, by its name in the connection.
    assert sides.sync("full").counts["new"] == 10
    sides.assert_equal_sides()
    assert names_behind(sides)[0] == old
