"""Searches and requests that are refused, and the way back that docs/runbook.md names, followed to the end."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from code_patterns.codes import Code
from code_patterns.embeddings.words import WORDS
from code_patterns.servers.qdrant_config import QdrantConfig
from tests.integration.search.conftest import pattern
from tests.integration.sync.test_model_change import names_behind
from tests.integration.web.test_api import Api, configured
from tests.support.faulty_qdrant import Fault, QdrantServer
from tests.support.two_sides import TwoSides


@pytest.fixture
def parsing(sides: TwoSides) -> TwoSides:
    """One pattern, synced."""
    sides.insert([pattern("parse_header")])
    sides.sync("full")
    return sides


def ask(sides: TwoSides, path: str, **params: Any) -> httpx.Response:
    """Send a request to the REST API."""
    return Api(lambda: configured(sides)).get(path, **params)


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a request that failed."""
    return answer.status_code, answer.json()["code"]


def assert_found(sides: TwoSides, **params: Any) -> None:
    [hit] = ask(sides, "search", q="parse header", **params).json()["hits"]
    assert hit["pattern_name"] == "parse_header"


@pytest.mark.remedy(Code.REQUEST_WRONG)
def test_a_parameter_that_nobody_knows(parsing: TwoSides) -> None:
    wrong = ask(parsing, "search", q="parse header", max=3)
    assert problem(wrong) == (400, Code.REQUEST_WRONG)
    assert "'max'" in wrong.json()["detail"]
    assert "limit" in wrong.json()["detail"]
    assert_found(parsing, limit=3)


@pytest.mark.remedy(Code.PATTERN_UNKNOWN)
def test_a_pattern_that_the_next_run_brings(parsing: TwoSides) -> None:
    parsing.insert([pattern("send_mail")])
    for path in ("patterns/send_mail", "patterns/send_mail/similar"):
        assert problem(ask(parsing, path)) == (404, Code.PATTERN_UNKNOWN)
    parsing.sync()
    assert ask(parsing, "patterns/send_mail").json()["pattern_name"] == "send_mail"
    assert len(ask(parsing, "patterns/send_mail/similar").json()["hits"]) == 1
    parsing.assert_equal_sides()


@pytest.mark.remedy(Code.WORDS_MISSING)
def test_a_collection_without_words(parsing: TwoSides) -> None:
    name, _ = names_behind(parsing)
    parsing.with_client(lambda client: client.delete_vector_name(name, WORDS))
    assert not parsing.with_client(lambda client: client.get_collection(name)).config.params.sparse_vectors
    assert problem(ask(parsing, "search", q="parse header")) == (500, Code.WORDS_MISSING)
    assert_found(parsing, mode="meaning")
    counts = parsing.sync("full").counts
    assert (counts["words_only"], counts["embedded_texts"]) == (1, 0)
    assert_found(parsing)
    parsing.assert_equal_sides()


@pytest.mark.parametrize("how", ["connection", "full sync"])
@pytest.mark.remedy(Code.SEARCH_MODEL_DIFFERS)
def test_a_connection_of_another_model(parsing: TwoSides, how: str) -> None:
    other = parsing.with_embedding(model="hashing-v2")
    wrong = ask(other, "search", q="parse header", mode="meaning")
    assert problem(wrong) == (500, Code.SEARCH_MODEL_DIFFERS)
    assert "made by 'hashing-v1'" in wrong.json()["detail"]
    assert "those of 'hashing-v2'" in wrong.json()["detail"]
    assert_found(other, mode="words")
    if how == "connection":
        assert_found(parsing, mode="meaning")
    else:
        assert other.sync("full").counts["embedded_texts"] == 1
        assert_found(other, mode="meaning")
        other.assert_equal_sides()


@pytest.mark.remedy(Code.SEARCH_TOO_LONG)
def test_a_search_that_is_given_up(
    sides: TwoSides, qdrant_server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(sides, qdrant=QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url))
    slow.insert([pattern("parse_header")])
    slow.sync("full")
    with monkeypatch.context() as impatient:
        impatient.setattr("code_patterns.search.searcher.SEARCH_SECONDS", 0.2)
        qdrant_server.always["read"] = Fault(delay=1.0)
        assert problem(ask(slow, "search", q="parse header")) == (503, Code.SEARCH_TOO_LONG)
    qdrant_server.heal()
    assert_found(slow)
