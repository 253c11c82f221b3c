"""Settings and connections that a run refuses, corrected as its message and docs/runbook.md say."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from airflow.sdk.api import client

from code_patterns.codes import Code
from code_patterns.hooks.qdrant import PatternsQdrantHook
from code_patterns.servers.qdrant_config import QdrantConfig
from tests.dags.conftest import Outcome
from tests.support.connections import set_connection
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import QdrantServer
from tests.support.two_sides import TwoSides, rows

RunDag = Callable[..., Outcome]


@pytest.fixture
def waiting(connected: TwoSides) -> TwoSides:
    """Three patterns that were never synced."""
    connected.insert(rows(3))
    return connected


def refused(outcome: Outcome, code: Code) -> str:
    """The message of a run that failed for good."""
    assert outcome.state == "failed"
    assert outcome.message.endswith(f"[{code}]")
    return outcome.message


def assert_it_works(sides: TwoSides, outcome: Outcome) -> None:
    assert (outcome.state, outcome.xcom["parity"]) == ("success", "proven")
    sides.assert_equal_sides()


@pytest.mark.remedy(Code.SETTING_WRONG)
def test_a_wrong_variable_and_a_wrong_param(
    waiting: TwoSides, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_PATTERN_SYNC_MAX_DELETE_FRACTION", "20")
    said = refused(run_dag("pattern_sync_full"), Code.SETTING_WRONG)
    assert "The Variable 'pattern_sync_max_delete_fraction' is '20'; it must be" in said
    monkeypatch.setenv("AIRFLOW_VAR_PATTERN_SYNC_MAX_DELETE_FRACTION", "0.2")
    said = refused(run_dag("pattern_sync_full", dryrun=True), Code.SETTING_WRONG)
    assert "the unknown Param 'dryrun'" in said
    assert waiting.execute("SELECT * FROM pattern_sync_runs") == []
    assert_it_works(waiting, run_dag("pattern_sync_full"))


@pytest.fixture
def defined(metadata_database: None) -> Iterator[Callable[[str], None]]:
    """Run an ``airflow connections add``; the connection is deleted in the end."""
    from airflow.cli.cli_parser import get_parser
    from airflow.cli.commands.connection_command import connections_add, connections_delete

    parser, made = get_parser(), []

    def add(command: str) -> None:
        words = shlex.split(command)
        assert words[:3] == ["airflow", "connections", "add"]
        connections_add(parser.parse_args(words[1:]))
        made.append(words[3])

    yield add
    for conn_id in made:
        connections_delete(parser.parse_args(["connections", "delete", conn_id]))


@pytest.mark.remedy(Code.CONNECTION_MISSING)
def test_connections_that_nobody_defined(
    waiting: TwoSides,
    qdrant_server: QdrantServer,
    embedding_server: EmbeddingServer,
    run_dag: RunDag,
    defined: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each message's command makes the connection, once a person has put in what only a person knows."""
    waiting.qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
    waiting.embedding = replace(waiting.embedding, dimension=768)
    postgres = waiting.as_sync
    known = {
        "patterns_postgres": {
            "HOST": postgres.host,
            "5432": str(postgres.port),
            "DATABASE": postgres.database,
            "USER": postgres.user,
            "PASSWORD": str(postgres.password),
        },
        "patterns_qdrant": {"HOST": "http://127.0.0.1", "6333": str(qdrant_server.port), "--conn-password API_KEY": ""},
        "patterns_embeddings": {"HOST": "127.0.0.1", "11434": str(embedding_server.port)},
    }
    for conn_id in known:
        monkeypatch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}")
    for conn_id, values in known.items():
        said = refused(run_dag("pattern_sync_full"), Code.CONNECTION_MISSING)
        [command] = re.findall(rf"airflow connections add {conn_id} .*(?= \[PAT)", said)
        for word, value in values.items():
            assert word in command
            command = command.replace(word, value)
        defined(command)
    assert_it_works(waiting, run_dag("pattern_sync_full"))


@pytest.mark.remedy(Code.AIRFLOW_AWAY)
@pytest.mark.parametrize(
    ("kind", "name"), [("Variable", "patterns_collection"), ("connection", "patterns_kafka")], ids=str
)
def test_an_api_server_that_fails_while_a_run_reads_its_settings(
    waiting: TwoSides, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    """Airflow's own answer is that there is none: the run would write another collection, or tell Kafka nothing."""
    from airflow.models import Variable

    monkeypatch.delenv("AIRFLOW_VAR_PATTERNS_COLLECTION")
    Variable.set("patterns_collection", waiting.collection)  # noqa: AIR311
    operations = client.VariableOperations if kind == "Variable" else client.ConnectionOperations
    answer = operations.get

    def fail(self: Any, key: str) -> Any:
        if key != name:
            return answer(self, key)
        response = httpx.Response(500, request=httpx.Request("GET", "http://api-server"))
        raise client.ServerResponseError("a restart", request=response.request, response=response)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(operations, "get", fail)
            outcome = run_dag("pattern_sync_full")
        assert outcome.state == "failed"
        assert f"Airflow could not say whether there is the {kind} '{name}'" in outcome.outage
        assert outcome.outage.endswith(f"[{Code.AIRFLOW_AWAY}]")
        assert waiting.execute("SELECT * FROM pattern_sync_runs") == []
        assert_it_works(waiting, run_dag("pattern_sync_full"))
    finally:
        Variable.delete("patterns_collection")  # noqa: AIR311


@pytest.mark.remedy(Code.CONNECTION_WRONG)
def test_an_extra_that_nobody_knows(waiting: TwoSides, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch) -> None:
    config = waiting.qdrant
    right = {"path": config.path} if config.path else {"url": config.url}
    fields = {"conn_type": "qdrant", "password": config.api_key}
    set_connection(monkeypatch, "patterns_qdrant", **fields, extra={"pfad": "x", **right})
    said = refused(run_dag("pattern_sync_full"), Code.CONNECTION_WRONG)
    assert "Connection 'patterns_qdrant' has the unknown extra 'pfad'" in said
    well, seen = PatternsQdrantHook().test_connection()
    assert (well, "has the unknown extra 'pfad'" in seen) == (False, True)
    assert waiting.execute("SELECT * FROM pattern_sync_runs") == []
    set_connection(monkeypatch, "patterns_qdrant", **fields, extra=right)
    assert PatternsQdrantHook().test_connection()[0]
    assert_it_works(waiting, run_dag("pattern_sync_full"))
