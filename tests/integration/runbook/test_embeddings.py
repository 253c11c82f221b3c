"""What goes wrong with embeddings, and the way back that docs/runbook.md names, followed to the end."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.hooks.embedding import EmbeddingHook
from code_patterns.servers.retry import RetryPolicy
from tests.support import faulty_embeddings as faults
from tests.support import proxy as proxies
from tests.support.connections import set_connection
from tests.support.faulty_embeddings import EmbeddingServer, Fault, running
from tests.support.leaks import secret
from tests.support.proxy import ProxyServer
from tests.support.two_sides import TwoSides, rows

KEY = secret("embedding-key")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry as usual, only sooner."""
    policy = RetryPolicy(attempts=2, total=5.0, first_wait=0.01, longest_wait=0.05)
    monkeypatch.setattr("code_patterns.embeddings.RetryPolicy", lambda: policy)


class Connection:
    """The connection ``patterns_embeddings``, as a person corrects it field by field."""

    def __init__(self, sides: TwoSides, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        self._sides = sides
        self._monkeypatch = monkeypatch
        self._fields: dict[str, Any] = {"conn_type": "embedding", "host": host}
        self._extra: dict[str, Any] = {"api": "ollama", "model": "nomic-embed-text", "timeout": 5}

    def set(self, *, extra: dict[str, Any] | None = None, **fields: Any) -> TwoSides:
        """Change fields and extras; return both sides with what Airflow makes of the connection."""
        self._fields |= fields
        self._extra |= extra or {}
        set_connection(self._monkeypatch, "patterns_embeddings", **self._fields, extra=self._extra)
        return replace(self._sides, embedding=EmbeddingHook().config)

    def press_test(self) -> tuple[bool, str]:
        """Press the button Test."""
        return EmbeddingHook().test_connection()


@pytest.fixture
def connection(
    sides: TwoSides, embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    """The connection to a server that works, and three patterns that were never synced."""
    sides.insert(rows(3))
    return Connection(sides, monkeypatch, embedding_server.url)


def assert_it_works(sides: TwoSides) -> None:
    assert sides.sync("full").parity == "proven"
    sides.assert_equal_sides()
    assert sides.execute("SELECT * FROM pattern_sync_dead_letters") == []


@pytest.mark.remedy(Code.EMBEDDINGS_AWAY)
def test_a_server_that_is_down(connection: Connection) -> None:
    with running() as server:
        sides = connection.set(host=server.url)
        assert_it_works(sides)
    before = sides.points()
    ids = sorted(before)
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [ids[0]])
    sides.execute('UPDATE pattern_lineage_nodes SET metadata = \'{"only": "payload"}\' WHERE id = %s', [ids[1]])
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)
    with pytest.raises(OutageError, match=r"Start it, or correct the connection's host and port"):
        sides.sync()
    assert sides.points() == before
    with running(server, port=server.port):
        counts = sides.sync().counts
        assert (counts["payload_only"], counts["deleted"]) == (1, 1)
        sides.assert_equal_sides()


@pytest.mark.remedy(Code.EMBEDDINGS_AWAY)
def test_a_server_that_is_slower_than_the_timeout(connection: Connection, embedding_server: EmbeddingServer) -> None:
    embedding_server.always = Fault(delay=0.4)
    with pytest.raises(OutageError, match=r"raise the connection's extra 'timeout'"):
        connection.set(extra={"timeout": 0.2}).sync("full")
    assert_it_works(connection.set(extra={"timeout": 5}))


@pytest.mark.remedy(Code.EMBEDDINGS_FAILING)
def test_a_server_that_fails_on_every_word(connection: Connection, embedding_server: EmbeddingServer) -> None:
    sides = connection.set()
    # The check at the start of the run still works.
    embedding_server.faults.append(Fault())
    embedding_server.always = faults.status(500, message="out of memory")
    with pytest.raises(OutageError, match=r"out of memory.*A single word fails too.*Look at its log"):
        sides.sync("full")
    assert sides.execute("SELECT * FROM pattern_sync_dead_letters") == []
    embedding_server.always = None
    assert_it_works(sides)


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ({"password": "another"}, {"password": KEY}, "Put a valid API key into the connection's password"),
        ({"extra": {"model": "nomic"}}, {"extra": {"model": "nomic-embed-text"}}, "ollama pull nomic"),
        ({"extra": {"api": "openai"}}, {"extra": {"api": "ollama"}}, "of this 'api', with its path"),
    ],
    ids=["key", "model", "api"],
)
@pytest.mark.remedy(Code.EMBEDDINGS_REFUSED)
def test_a_connection_that_the_server_refuses(
    connection: Connection,
    embedding_server: EmbeddingServer,
    wrong: dict[str, Any],
    right: dict[str, Any],
    told: str,
) -> None:
    embedding_server.api_key, embedding_server.model = KEY, "nomic-embed-text"
    embedding_server.endpoints = ("/api/embed",)
    connection.set(password=KEY)
    sides = connection.set(**wrong)
    well, seen = connection.press_test()
    assert (well, told in seen) == (False, True), seen
    with pytest.raises(ConfigurationError, match="patterns_embeddings") as refused:
        sides.sync("full")
    assert told in refused.value.message
    assert sides.execute("SELECT * FROM pattern_sync_runs WHERE status = 'succeeded'") == []
    sides = connection.set(**right)
    assert connection.press_test()[0]
    assert_it_works(sides)


@pytest.mark.remedy(Code.EMBEDDINGS_REFUSED)
def test_a_proxy_that_wants_a_login(connection: Connection) -> None:
    with proxies.running(ProxyServer(login=f"me:{KEY}")) as proxy:
        sides = connection.set(extra={"proxy": proxy.url})
        assert "set its URL to http://user:password@host:port" in connection.press_test()[1]
        with pytest.raises(ConfigurationError, match="set its URL to http://user:password@host:port"):
            sides.sync("full")
        assert_it_works(connection.set(extra={"proxy": proxy.url.replace("//", f"//me:{KEY}@")}))


@pytest.mark.parametrize("correct", ["dimension", "model"])
@pytest.mark.remedy(Code.DIMENSION_WRONG)
def test_a_dimension_that_the_model_does_not_have(
    connection: Connection, embedding_server: EmbeddingServer, correct: str
) -> None:
    embedding_server.model, embedding_server.dimension = "nomic-embed-text", 96
    sides = connection.set(extra={"dimension": 128})
    with pytest.raises(ConfigurationError, match=r"length 96, expected 128.*to 96, or .* a model of 128 dimensions"):
        sides.sync("full")
    assert sides.execute("SELECT * FROM pattern_sync_checkpoints") == []
    if correct == "dimension":
        assert_it_works(connection.set(extra={"dimension": 96}))
    else:
        embedding_server.model, embedding_server.dimension = "mxbai", 128
        assert_it_works(connection.set(extra={"model": "mxbai"}))
