"""The same model is the same recipe, however its name and its server are spelled."""

import json
from dataclasses import replace

import pytest

from code_patterns.codes import Code
from code_patterns.embeddings.connection import embedding_config
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionFields
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.two_sides import TwoSides, rows


def connected(sides: TwoSides, server: EmbeddingServer, model: str, *, api: str = "ollama", tail: str = "") -> TwoSides:
    host = server.url.replace("127.0.0.1", "LocalHost" if tail else "127.0.0.1") + tail
    extra = json.dumps({"api": api, "model": model, "dimension": 768})
    return replace(sides, embedding=embedding_config(ConnectionFields("patterns_embeddings", host, extra=extra)))


@pytest.mark.parametrize(("first", "then"), [("m", "m:latest"), ("m:latest", "m")])
def test_the_implicit_tag_embeds_nothing_again(
    sides: TwoSides, embedding_server: EmbeddingServer, first: str, then: str
) -> None:
    sides.insert(rows(20))
    connected(sides, embedding_server, first).sync("full")
    other = connected(sides, embedding_server, then, tail="/")
    result = other.sync("full")
    assert (result.counts["unchanged"], result.counts["embedded_texts"], result.parity) == (20, 0, "proven")
    sides.insert(rows(3, start=30))
    hourly = other.sync()
    assert (hourly.kind, hourly.counts["new"]) == ("incremental", 3)
    back = connected(sides, embedding_server, first).sync("full")
    assert (back.counts["unchanged"], back.counts["embedded_texts"]) == (23, 0)


def test_the_model_is_still_the_same_after_going_back_from_it(
    sides: TwoSides, embedding_server: EmbeddingServer
) -> None:
    sides.insert(rows(5))
    connected(sides, embedding_server, "old").sync("full")
    connected(sides, embedding_server, "m").sync("full")
    connected(sides, embedding_server, "m").sync("full", rollback=True)
    stays = connected(sides, embedding_server, "m:latest").sync("full")
    assert (stays.counts["unchanged"], stays.counts["embedded_texts"]) == (5, 0)


@pytest.mark.parametrize(("api", "first", "then"), [("ollama", "m", "m:q4"), ("openai", "Model", "model")])
def test_another_tag_or_case_is_another_model(
    sides: TwoSides, embedding_server: EmbeddingServer, api: str, first: str, then: str
) -> None:
    sides.insert(rows(5))
    connected(sides, embedding_server, first, api=api).sync("full")
    assert connected(sides, embedding_server, then, api=api).sync("full").counts["new"] == 5


def test_the_built_in_embedder_adds_nothing_to_the_collection_of_a_model(
    sides: TwoSides, embedding_server: EmbeddingServer
) -> None:
    """Vectors of both have the same length, so nothing else could tell them apart afterwards."""
    served = connected(sides, embedding_server, "m")
    built_in = sides.with_embedding(dimension=768)
    sides.insert(rows(5))
    served.sync("full")
    sides.insert(rows(3, start=10))
    with pytest.raises(ConfigurationError, match=r"made with the model 'm', and the api 'hashing'") as refused:
        built_in.sync()
    assert refused.value.code == Code.OLD_MODEL_GONE
    assert len(sides.points()) == 5
    assert built_in.sync("full").counts["new"] == 8
    with pytest.raises(ConfigurationError, match=r"the api 'hashing' .* cannot make such vectors"):
        built_in.sync("full", rollback=True)
    assert served.sync("full").counts["new"] == 3


def test_the_built_in_embedder_goes_on_with_its_collection_until_the_one_of_a_model_is_there(
    sides: TwoSides, embedding_server: EmbeddingServer
) -> None:
    built_in = sides.with_embedding(dimension=768)
    served = connected(sides, embedding_server, "m", api="openai")
    sides.insert(rows(5))
    built_in.sync("full")
    sides.insert(rows(3, start=10))
    assert served.sync().counts["new"] == 3
    assert embedding_server.requests == 0
    built_in.assert_equal_sides()
    assert served.sync("full").counts["new"] == 8
