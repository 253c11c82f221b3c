"""The options of a collection as people type them, and the sentence that comes back."""

import json
from typing import Any

import pytest

from code_patterns.errors import ConfigurationError
from code_patterns.servers.connection_models import ConnectionFields
from code_patterns.servers.qdrant_connection import qdrant_config
from code_patterns.servers.qdrant_options import CollectionOptions


def read(options: Any) -> CollectionOptions:
    fields = ConnectionFields("patterns_qdrant", "qdrant", extra=json.dumps({"collection": options}))
    return qdrant_config(fields).collection


@pytest.mark.parametrize("nothing", [None, "", {}, "{}"])
def test_nothing_set(nothing: Any) -> None:
    assert read(nothing) == CollectionOptions()
    assert not read(nothing).named


def test_options_may_be_the_text_of_an_object_as_in_a_uri() -> None:
    options = {"shard_number": "3", "hnsw": {"m": 32}, "quantization": "int8", "on_disk": "true"}
    named = {"shard_number": 3, "hnsw.m": 32, "quantization.type": "int8", "on_disk": True}
    assert read(options).named == read(json.dumps(options)).named == named


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("many", "'collection' = 'many'. It must be a JSON object of options, such as {\"shard_number\": 3}; set it"),
        ([3], "extra 'collection'. It must be a JSON object of options"),
        ({"shard_numbers": 3}, "unknown extra 'collection.shard_numbers'. Did you mean 'shard_number'?"),
        ({"hnsw": {"on_disk": True}}, "unknown extra 'collection.hnsw.on_disk'. Remove or rename it; known are m, ef"),
        ({"optimizers": {"prevent_unoptimized": True}}, "unknown extra 'collection.optimizers.prevent_unoptimized'"),
        ({"shard_number": 0}, "'collection.shard_number' = 0. It must be a whole number of at least 1"),
        ({"replication_factor": True}, "'collection.replication_factor' = True. It must be a whole number"),
        ({"on_disk": "maybe"}, "'collection.on_disk' = 'maybe'. It must be true or false"),
        ({"hnsw": {"ef_construct": 3}}, "'collection.hnsw.ef_construct' = 3. It must be a whole number of at least 4"),
        ('{"hnsw": {"m": -1}}', "'collection.hnsw.m' = -1. It must be a whole number of at least 0"),
        ({"hnsw": 16}, "'collection.hnsw' = 16. It must be a JSON object"),
        ({"quantization": "int4"}, "'collection.quantization.type' = 'int4'. It must be one of int8, binary, none"),
        ({"quantization": {"quantile": 0.9}}, "lacks the extra 'collection.quantization.type'. It must be one of int8"),
        (
            {"quantization": {"type": "int8", "quantile": 0.1}},
            "'collection.quantization.quantile' = 0.1. It must be a number from 0.5 to 1",
        ),
        (
            {"quantization": {"type": "binary", "quantile": 0.9}},
            "'collection.quantization.quantile' = 0.9. It must be left out, because only the type int8 has one",
        ),
        (
            {"replication_factor": 2, "write_consistency_factor": 3},
            "'collection.write_consistency_factor' = 3. It must be at most the replication_factor, 2",
        ),
        (
            {"strict_mode": {"search_allow_exact": False}},
            "'collection.strict_mode.search_allow_exact' = False. It must be true, or left out: the proof",
        ),
        (
            {"strict_mode": {"max_query_limit": 1_000}},
            "'collection.strict_mode.max_query_limit' = 1000. It must be a whole number of at least 25600",
        ),
    ],
)
def test_an_unknown_or_impossible_option_is_named(options: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(options)
    assert said in str(refused.value)
