"""What a person sees before coming over from the earlier scripts, and that nothing is written by looking."""

import json
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dotenv import dotenv_values
from psycopg import sql
from qdrant_client import AsyncQdrantClient, models

from code_patterns.adopt.__main__ import main
from code_patterns.adopt.commands import commands
from code_patterns.adopt.old_environment import read_old_environment
from code_patterns.codes import Code
from code_patterns.embeddings.connection import embedding_config
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionFields
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_connection import postgres_config
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.servers.qdrant_connection import qdrant_config
from tests.conftest import ROOT, config_of
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import QdrantServer
from tests.support.two_sides import TwoSides, rows

LEGACY = (ROOT / "tests" / "support" / "original_tables.sql").read_bytes()
SECRET = "s3cr3t-and-not-shown"
WRITES = ("upsert", "payload", "delete", "drop", "manage")


def row_id(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


def old_points() -> list[models.PointStruct]:
    """What the earlier scripts left: 15 of 20 rows, without hashes, and two points whose rows are gone."""
    payload = {"text": "File: x", "code": "x", "pattern_name": "x", "language": "unknown", "stars": 3}
    vector = [0.1] * 64
    found = [models.PointStruct(id=row_id(number), vector=vector, payload=payload) for number in range(1, 16)]
    found.append(models.PointStruct(id=str(uuid.UUID(int=2**100)), vector=vector, payload={"curated": True}))
    found.append(models.PointStruct(id=1761955847246, vector=vector, payload={}))
    return found


def sides_of(dsn: str, server: QdrantServer, collection: str = "code_patterns") -> TwoSides:
    return TwoSides(config_of(dsn), QdrantConfig(conn_id="patterns_qdrant", url=server.url), collection)


@pytest.fixture
def world(empty_database: str, qdrant_server: QdrantServer) -> TwoSides:
    """A database that no migration has seen, and a collection that the earlier scripts wrote."""
    sides = sides_of(empty_database, qdrant_server, f"test_{uuid.uuid4().hex[:12]}")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(LEGACY)
        # A pattern_data that cannot be read, and one that is not synced.
        connection.execute("UPDATE pattern_lineage_nodes SET pattern_data = '[1]' WHERE pattern_name = 'Pattern 20'")
        connection.execute("UPDATE pattern_lineage_nodes SET pattern_type = 'config' WHERE pattern_name = 'Pattern 19'")

    async def fill(client: AsyncQdrantClient) -> None:
        vectors = models.VectorParams(size=64, distance=models.Distance.COSINE)
        await client.create_collection(sides.collection, vectors_config=vectors)
        await client.upsert(sides.collection, old_points(), wait=True)

    sides.with_client(fill)
    return sides


def parts_of(postgres: PostgresConfig) -> dict[str, str]:
    return {
        "POSTGRES_HOST": postgres.host,
        "POSTGRES_PORT": str(postgres.port),
        "POSTGRES_DATABASE": postgres.database,
        "POSTGRES_USER": postgres.user,
        "POSTGRES_PASSWORD": postgres.password or SECRET,
    }


def write(path: Path, values: dict[str, str]) -> Path:
    path.write_text("# of the cron job\n" + "".join(f"export {name}='{value}'\n" for name, value in values.items()))
    return path


def environment_of(sides: TwoSides, **further: str) -> dict[str, str]:
    hashing = {"EMBEDDING_API": "hashing", "EMBEDDING_DIMENSIONS": "64"}
    return {**parts_of(sides.postgres), "QDRANT_URL": sides.qdrant.url, **hashing, **further}


def written(sides: TwoSides, server: QdrantServer) -> Any:
    """Everything that a write would change: rows, counters of writes, schema, points, requests."""
    [counted] = sides.execute(
        "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del), (SELECT count(*) FROM pg_class), "
        "(SELECT md5(string_agg(node::text, '' ORDER BY id)) FROM pattern_lineage_nodes AS node) "
        "FROM pg_stat_user_tables"
    )
    points = sides.points()
    return counted, points, {operation: server.requests[operation] for operation in WRITES}  # type: ignore[index]


def run(path: Path, sides: TwoSides) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "code_patterns.adopt", "--env", path, "--collection", sides.collection],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_legacy_world(world: TwoSides, qdrant_server: QdrantServer, tmp_path: Path) -> None:
    """By a role that may read and nothing else, so that a write would be an error."""
    role = f"reader_{uuid.uuid4().hex[:8]}"
    name = sql.Identifier(role)
    with psycopg.connect(world.postgres.conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(SECRET)))
        admin.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(name))
    old = environment_of(world, POSTGRES_USER=role, POSTGRES_PASSWORD=SECRET, QDRANT_API_KEY=SECRET, CRON_MAIL="me@x")
    before = written(world, qdrant_server)
    try:
        ended = run(write(tmp_path / ".env", old), world)
        assert written(world, qdrant_server) == before
    finally:
        with psycopg.connect(world.postgres.conninfo, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))
    said = ended.stdout
    assert (ended.returncode, ended.stderr) == (1, ""), said + ended.stderr
    assert SECRET not in said
    for line in (
        f"airflow connections add patterns_postgres --conn-type postgres --conn-host {world.postgres.host} ",
        '--conn-password "$POSTGRES_PASSWORD"',
        '--conn-password "$QDRANT_API_KEY"',
        f"""patterns_qdrant --conn-type qdrant --conn-extra '{{"url": "{world.qdrant.url}"}}'""",
        """--conn-extra '{"api": "hashing", "dimension": 64}'""",
        f"airflow variables set patterns_collection {world.collection}",
        "not needed any more: CRON_MAIL",
        "tables: pattern_lineage_nodes, pattern_quality_metrics, pattern_templates, pattern_usage_events, pattern_anal",
        "patterns: 19 code, 1 config;",
        f"'{world.collection}' is a collection, 17 points",
        "vectors: 64 dimensions, Cosine",
        "recipe of the vectors: unknown",
        "payload keys of others, kept by every sync: stars (15), curated (1);",
        "ids on both sides: 15",
        f"rows without a point: 4, such as {row_id(16)}, {row_id(17)}, {row_id(18)}, {row_id(20)}",
        f"points without a row: 2, such as 1761955847246, {uuid.UUID(int=2**100)}",
        "embed and write 18 patterns",
        "delete 2 points",
        f"park 1 as dead letters: {row_id(20)}: pattern_data is a JSON array",
        "texts per second were measured",
        "may not create tables in schema public",
        "Nothing was written.",
    ):
        assert line in said, f"{line}\n\n{said}"


def test_what_it_foretells_is_what_happens(world: TwoSides, qdrant_server: QdrantServer, tmp_path: Path) -> None:
    from code_patterns.migrations.runner import apply

    path = write(tmp_path / ".env", environment_of(world))
    ended = run(path, world)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "is at version 000" in ended.stdout
    assert "001_pattern_learning_init" in ended.stdout
    apply(world.postgres, "up", None, "tests")
    result = world.sync("full")
    counts = result.counts
    assert (counts["new"] + counts["changed"], counts["deleted"], counts["parked"]) == (18, 2, 1)
    assert {point.get("stars") for point in world.points().values()} == {3, None}
    before = written(world, qdrant_server)
    again = run(path, world)
    assert written(world, qdrant_server) == before
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing to do" in again.stdout
    assert "leave alone 18" in again.stdout
    assert "embed and write 0 patterns" in again.stdout
    assert "belongs to the database" in again.stdout


def test_what_is_in_the_way_is_said(
    world: TwoSides, qdrant_server: QdrantServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.execute("DELETE FROM pattern_lineage_nodes WHERE id > %s", [row_id(2)])
    path = write(tmp_path / ".env", environment_of(world, EMBEDDING_DIMENSIONS="32"))
    assert main(["--env", str(path), "--collection", world.collection]) == 1
    said = capsys.readouterr().out
    assert "holds vectors of 64 dimensions" in said
    assert f"Refusing to delete 15 of 17 points from '{world.collection}'" in said
    assert "Nothing was written. Check" in said
    assert "ids on both sides: 2" in said


def test_without_tables_and_without_a_collection(
    empty_database: str, qdrant_server: QdrantServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = sides_of(empty_database, qdrant_server, f"test_{uuid.uuid4().hex[:12]}")
    path = write(tmp_path / ".env", environment_of(sides))
    assert main(["--env", str(path), "--collection", sides.collection]) == 0
    said = capsys.readouterr().out
    assert "tables: none of this project" in said
    assert f"'{sides.collection}' does not exist yet" in said
    assert "embed and write 0 patterns" in said


def test_the_time_is_measured_at_the_real_server(
    sides: TwoSides,
    qdrant_server: QdrantServer,
    embedding_server: EmbeddingServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sides.insert(rows(80))
    old = environment_of(sides, QDRANT_URL=qdrant_server.url, OLLAMA_BASE_URL=embedding_server.url)
    del old["EMBEDDING_API"], old["EMBEDDING_DIMENSIONS"]
    old["EMBEDDING_DIMENSION"] = str(embedding_server.dimension)
    path = write(tmp_path / ".env", old)
    assert main(["--env", str(path), "--collection", sides.collection]) == 0
    said = capsys.readouterr().out
    assert "nomic-embed-text is taken, as the earlier scripts did" in said
    assert "texts per second were measured" in said
    assert len(embedding_server.texts) <= 70


OLD = {
    "DATABASE_URL": f"postgresql://me:{SECRET}@127.0.0.1:1/db",
    "QDRANT_URL": "http://127.0.0.1:1",
    "EMBEDDING_API": "hashing",
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({**OLD, "DATABASE_URL": ""}, "names no database. Set TRACEABILITY_DB_URL_EXTERNAL or"),
        ({**OLD, "DATABASE_URL": f"postgresql://me:{SECRET}@/db"}, "The DATABASE_URL has no host"),
        ({**OLD, "DATABASE_URL": f"nonsense {SECRET}"}, "The DATABASE_URL is malformed"),
        ({**OLD, "DATABASE_URL": "", "POSTGRES_HOST": "h"}, "has POSTGRES_HOST, but not POSTGRES_DATABASE"),
        (
            {
                **OLD,
                "DATABASE_URL": "",
                "POSTGRES_HOST": "h",
                "POSTGRES_DB": "d",
                "POSTGRES_USER": "u",
                "POSTGRES_PORT": "x",
            },
            "POSTGRES_PORT of",
        ),
        ({**OLD, "QDRANT_URL": ""}, "names no Qdrant. Set QDRANT_URL or QDRANT_HOST"),
        ({**OLD, "QDRANT_URL": f"http://key:{SECRET}@h"}, "holds a user or a password"),
        ({**OLD, "EMBEDDING_API": ""}, "names no embedding server. Set EMBEDDING_MODEL_URL or OLLAMA_BASE_URL"),
        ({**OLD, "EMBEDDING_API": "magic"}, "names no server for the magic embeddings"),
        ({**OLD, "EMBEDDING_API": "", "EMBEDDING_MODEL_URL": "http://h"}, "names no model of the embedding server"),
        ({**OLD, "EMBEDDING_DIMENSIONS": "many"}, "EMBEDDING_DIMENSIONS of"),
        (OLD, "127.0.0.1:1"),
    ],
)
def test_bad_input_is_one_clear_message(
    values: dict[str, str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--env", str(write(tmp_path / ".env", values))]) == 2
    out, told = capsys.readouterr()
    assert expected in told
    assert len(told.splitlines()) == 1
    assert SECRET not in out + told


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"A=1\nno assignment '\nB='"])
def test_a_file_that_is_none(content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".env"
    if content is not None:
        path.write_bytes(content)
    assert main(["--env", str(path)]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert str(path) in told


@pytest.mark.parametrize(
    "line",
    [
        *("A=p$w", "A=p&w", "A=p;w", "A=a word", "A = w", "A=p\\w", "A=`w`", "A=~/w", 'A="p$w"', 'A="p\\nw"'),
        *("A='${B}'", "A='p\\'w'", "A=(w)", "A", "A=p|w", "A=p>w"),
    ],
)
def test_a_line_that_a_shell_reads_otherwise(line: str, tmp_path: Path) -> None:
    """The printed commands let a shell load the file: a password would be another one, or a part of it a command."""
    path = write(tmp_path / ".env", OLD)
    rest = path.read_text()
    key = line.replace("A", "QDRANT_API_KEY", 1)
    path.write_text(f"B=b\n{key}\n{rest}")
    with pytest.raises(ConfigurationError, match=rf"Line 2 of {path} gives QDRANT_API_KEY another value in a shell"):
        read_old_environment(path)
    path.write_text(f"B=b\n{line}\n{rest}")
    assert read_old_environment(path).qdrant.fields.password is None, "this bundle has no use for A"


@pytest.mark.parametrize(
    "line",
    [
        *("A=p#w%@!*?:/", "export A=w", "A='p$w&;|`'", 'A="p\'w"', "A=w # why", "A=${B}w", 'A="a ${B}"', "A=", "A=''"),
        *("# A=(w)", "A='two\nlines'"),
    ],
)
def test_a_line_that_a_shell_reads_alike(line: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(f"B=b\n{line}\n")
    with pytest.raises(ConfigurationError, match="names no database"):
        read_old_environment(path)
    loaded = f'set -a; . {path}; set +a; printf "%s" "$A"'
    shown = subprocess.run(["sh", "-e", "-c", loaded], env={}, capture_output=True, check=True, text=True).stdout
    assert shown == (dotenv_values(path).get("A") or "")


@pytest.mark.remedy(Code.OLD_ENVIRONMENT_WRONG)
def test_a_file_is_corrected_as_the_messages_say(
    sides: TwoSides, qdrant_server: QdrantServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides.insert(rows(3))
    arguments = ["--env", str(tmp_path / ".env"), "--collection", sides.collection]
    values = environment_of(replace(sides, qdrant=QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)))
    path = write(tmp_path / ".env", {**values, "QDRANT_URL": "", "POSTGRES_PORT": "many"})
    path.write_text(path.read_text() + "no assignment\n")
    for told, wrong, right in (
        (f"Line {len(values) + 2} of {path} is no assignment", "no assignment\n", ""),
        (f"POSTGRES_PORT of {path} is 'many'", "PORT='many'", f"PORT='{values['POSTGRES_PORT']}'"),
        ("names no Qdrant. Set QDRANT_URL or", "QDRANT_URL=''", f"QDRANT_URL='{qdrant_server.url}'"),
    ):
        assert main(arguments) == 2
        out, said = capsys.readouterr()
        assert (out, told in said, f"[{Code.OLD_ENVIRONMENT_WRONG}]" in said) == ("", True, True), said
        path.write_text(path.read_text().replace(wrong, right))
    assert main(arguments) == 0
    assert "embed and write 3 patterns" in capsys.readouterr().out


def test_urls_with_secrets_are_named_by_their_variable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    further = {"TRACEABILITY_DB_URL": "postgresql://me@elsewhere/db", "OLLAMA_BASE_URL": "http://o:11434"}
    values = {
        **OLD,
        **further,
        "EMBEDDING_API": "openai",
        "EMBEDDING_MODEL_URL": f"http://v:8002/v1?key={SECRET}",
        "EMBEDDING_MODEL": "m",
    }
    assert main(["--env", str(write(tmp_path / ".env", {**values, "EMBEDDING_API_KEY": SECRET}))]) == 2
    said = capsys.readouterr().out
    assert 'airflow connections add patterns_postgres --conn-uri "$TRACEABILITY_DB_URL"' in said
    assert "DATABASE_URL names another database than TRACEABILITY_DB_URL, which counts here." in said
    assert "OLLAMA_BASE_URL does not" in said
    assert '--conn-host "$EMBEDDING_MODEL_URL" --conn-password "$EMBEDDING_API_KEY"' in said
    assert SECRET not in said


AIRFLOW = """#!{python}
import json, sys
with open({path!r}, "a") as taken:
    taken.write(json.dumps(sys.argv[1:]) + "\\n")
"""


@pytest.mark.parametrize(
    "database",
    [
        {"DATABASE_URL": "postgresql://me:p%40ss%2Fw%24rd@db.example:5436/patterns?sslmode=require"},
        {"DATABASE_URL": "host=/run/pg dbname=patterns user=me"},
        {
            "POSTGRES_HOST": "db.example",
            "POSTGRES_DB": "my patterns",
            "POSTGRES_USER": "me",
            "POSTGRES_PASSWORD": "p@ss w$rd",
        },
    ],
)
def test_the_commands_make_the_connections_that_were_looked_at(database: dict[str, str], tmp_path: Path) -> None:
    """The shell runs them, with an ``airflow`` that only takes down its arguments; Airflow reads what has a URL."""
    from airflow.models.connection import Connection

    taken = tmp_path / "taken"
    fake = tmp_path / "airflow"
    fake.write_text(AIRFLOW.format(python=sys.executable, path=str(taken)))
    fake.chmod(0o755)
    rest = {"QDRANT_HOST": "q.example", "QDRANT_API_KEY": "k$ey", "EMBEDDING_MODEL_URL": "http://v:8002/v1"}
    values = {**database, **rest, "EMBEDDING_MODEL": "a model", "EMBEDDING_API_KEY": "another$key"}
    old = read_old_environment(write(tmp_path / ".env", values))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-e", "-c", "\n".join(commands(old, "my patterns"))], env=environment, check=True)
    *adds, variable = map(json.loads, taken.read_text().splitlines())
    assert variable == ["variables", "set", "patterns_collection", "my patterns"]

    made = {}
    for _, _, conn_id, *pairs in adds:
        given = {name.removeprefix("--conn-"): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
        if uri := given.get("uri"):
            read = Connection(conn_id=conn_id, uri=uri)
            assert read.conn_type == "postgres"
            given = {"host": read.host, "port": read.port, "schema": read.schema, "login": read.login}
            given |= {"password": read.password, "extra": read.extra}
        port = int(given["port"]) if given.get("port") else None
        texts = {name: given.get(name) or "" for name in ("host", "schema", "login")}
        made[conn_id] = ConnectionFields(
            conn_id, port=port, password=given.get("password"), extra=given.get("extra"), **texts
        )
    assert postgres_config(made["patterns_postgres"]) == postgres_config(old.postgres.fields)
    assert qdrant_config(made["patterns_qdrant"]) == qdrant_config(old.qdrant.fields)
    assert embedding_config(made["patterns_embeddings"]) == embedding_config(old.embeddings.fields)
    assert qdrant_config(made["patterns_qdrant"]).url == "http://q.example:6333"
