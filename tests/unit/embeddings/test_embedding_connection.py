"""The extras that only one api knows."""

import json

import pytest

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.embeddings.connection import embedding_config
from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionFields


def fields(**extra: object) -> ConnectionFields:
    return ConnectionFields("patterns_embeddings", host="localhost", extra=json.dumps(extra))


def test_a_model_inside_the_worker() -> None:
    typed = fields(api="fastembed", model="BAAI/bge-small-en-v1.5", dimension="384", path="/models/bge", threads="1")
    assert embedding_config(typed) == EmbeddingConfig(
        "patterns_embeddings", "fastembed", "BAAI/bge-small-en-v1.5", dimension=384, path="/models/bge", threads=1
    )
    with pytest.raises(ConfigurationError, match=r"names no model"):
        embedding_config(fields(api="fastembed"))


@pytest.mark.parametrize(
    ("name", "value", "api", "knows"),
    [
        ("path", "/models", "ollama", "fastembed"),
        ("cache_dir", "/models", "ollama", "fastembed"),
        ("encoding_format", "base64", "fastembed", "openai"),
    ],
)
def test_an_extra_of_another_api(name: str, value: str, api: str, knows: str) -> None:
    with pytest.raises(ConfigurationError, match=f"extra '{name}', which only the api '{knows}' knows"):
        embedding_config(fields(api=api, model="m", **{name: value}))


def test_the_built_in_embedder_goes_by_no_other_models_name() -> None:
    assert embedding_config(fields(api="hashing", model="nomic-embed-text")).model == "hashing-nomic-embed-text"
    assert embedding_config(fields(api="hashing")).model == "hashing-v1"
    assert embedding_config(fields(api="hashing", model="hashing-v2")).model == "hashing-v2"


def test_threads_have_bounds() -> None:
    with pytest.raises(ConfigurationError, match=r"extra 'threads' = 0. It must be a whole number from 1 to 64"):
        embedding_config(fields(api="fastembed", model="m", threads=0))
