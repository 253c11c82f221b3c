"""From a row to text, payload and hashes, for whatever JSON a row may hold."""

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_patterns.embeddings.base import EmbeddingConfig
from code_patterns.sync.pattern import (
    CONTENT_HASH,
    EMBEDDING_HASH,
    MAX_DEPTH,
    PAYLOAD_KEYS,
    SYNC_TIMESTAMP,
    WORDS_HASH,
    SourceRow,
    UnreadableRowError,
    document_text,
    pattern_of,
    recipe_of,
)

RECIPE = recipe_of(EmbeddingConfig(conn_id="c", api="hashing", model="m"))
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def row(**changes: Any) -> SourceRow:
    fields: dict[str, Any] = {
        "id": uuid.UUID(int=1),
        "pattern_id": "p",
        "pattern_name": "name",
        "pattern_type": "code",
        "pattern_version": "1.0.0",
        "pattern_data": '{"code": "x = 1"}',
        "metadata": '{"a": 1}',
        "created_at": CREATED,
        "file_path": "package/module.py",
        "language": "python",
        "sync_xid": 7,
    }
    return SourceRow(**{**fields, **changes})


def test_payload_has_every_key_that_readers_rely_on() -> None:
    pattern = pattern_of(row(), RECIPE)
    assert pattern.text == "File: module.py\nLanguage: python\nPath: package/module.py\n\nCode:\nx = 1"
    assert pattern.payload == {
        "text": pattern.text,
        "code": "x = 1",
        "pattern_id": "p",
        "pattern_name": "name",
        "pattern_type": "code",
        "pattern_version": "1.0.0",
        "file_path": "package/module.py",
        "language": "python",
        "metadata": {"a": 1},
        "created_at": "2026-01-02T03:04:05+00:00",
        EMBEDDING_HASH: pattern.embedding_hash,
        CONTENT_HASH: pattern.content_hash,
        WORDS_HASH: pattern.words_hash,
    }


def test_code_is_not_cut() -> None:
    code = "x" * 300_000
    assert pattern_of(row(pattern_data=json.dumps({"code": code})), RECIPE).text.endswith(code)


def test_json_inside_a_json_string() -> None:
    assert pattern_of(row(pattern_data=json.dumps(json.dumps({"code": "y"}))), RECIPE).payload["code"] == "y"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('"plain text"', "JSON text inside pattern_data is not valid JSON"),
        ("[1]", "JSON array"),
        ("3", "JSON number"),
        ("null", "JSON null"),
        ('"null"', "JSON null"),
        ('{"code": 5}', "pattern_data.code is a JSON number"),
        ('{"code": true}', "JSON boolean"),
        ('{"code": "", "deep": ' + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1) + "}", "nests deeper"),
        ("[" * 100_000 + "]" * 100_000, "nests too deeply"),
    ],
)
def test_unreadable_rows_say_why(data: str, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=reason):
        pattern_of(row(pattern_data=data), RECIPE)


def test_what_qdrant_cannot_store_is_made_storable() -> None:
    inner = '{"code": "a\\ud800b\\u0000", "x": NaN}'
    pattern = pattern_of(row(pattern_data=json.dumps(inner), metadata='{"huge": 1e999, "n": 1}'), RECIPE)
    assert pattern.payload["code"] == "a?b\x00"
    assert pattern.payload["metadata"] == {"huge": None, "n": 1}


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("digits", [309, 4_300, 4_301, 131_072, 5_000_000])
def test_an_integer_beyond_doubles_is_null_however_long_it_is(digits: int, sign: str) -> None:
    """Python's own conversion takes quadratic time, and stops at 4,300 digits."""
    begun = time.process_time()
    metadata = f'{{"far": [{sign}{"9" * digits}], "n": {sign}{"9" * 18}}}'
    assert pattern_of(row(metadata=metadata), RECIPE).payload["metadata"] == {"far": [None], "n": int(sign + "9" * 18)}
    assert time.process_time() - begun < 5.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(data=json_values, metadata=json_values, twice=st.booleans())
def test_any_json_gives_a_storable_payload_or_a_reason(data: Any, metadata: Any, twice: bool) -> None:
    text = json.dumps(data)
    source = row(pattern_data=json.dumps(text) if twice else text, metadata=json.dumps(metadata))
    try:
        pattern = pattern_of(source, RECIPE)
    except UnreadableRowError:
        return
    assert orjson.loads(orjson.dumps(pattern.payload)) == pattern.payload
    assert pattern_of(source, RECIPE) == pattern


@pytest.mark.parametrize(
    ("changes", "embedding", "content", "words"),
    [
        ({"pattern_data": '{"code": "x = 2"}'}, True, False, True),
        ({"language": "go"}, True, True, False),
        ({"pattern_name": "other"}, False, True, True),
        ({"file_path": "other.py"}, True, True, True),
        ({"metadata": '{"a": 2}'}, False, True, False),
        ({"metadata": '{"a": 1, "description": "d"}'}, False, True, True),
        ({"pattern_data": '{"code": "x = 1", "description": "d"}'}, False, False, True),
        ({"pattern_data": '{"code": "x = 1", "description": 7}', "metadata": '{"a": 1}'}, False, False, False),
        ({"pattern_version": "2"}, False, True, False),
        ({"sync_xid": 8}, False, False, False),
        ({"metadata": '{ "a" : 1 }'}, False, False, False),
        ({"pattern_data": '{"other": 1, "code": "x = 1"}'}, False, False, False),
    ],
)
def test_hashes_change_with_what_they_cover(
    changes: dict[str, Any], embedding: bool, content: bool, words: bool
) -> None:
    before, after = pattern_of(row(), RECIPE), pattern_of(row(**changes), RECIPE)
    assert (before.embedding_hash != after.embedding_hash) is embedding
    assert (before.content_hash != after.content_hash) is content
    assert (before.words_hash != after.words_hash) is words


@pytest.mark.parametrize("change", [{"model": "n"}, {"dimension": 5}, {"document_prefix": "p"}, {"max_characters": 9}])
def test_another_recipe_is_another_embedding(change: dict[str, Any]) -> None:
    other = recipe_of(EmbeddingConfig(**{"conn_id": "c", "api": "hashing", "model": "m", **change}))
    assert pattern_of(row(), other).embedding_hash != pattern_of(row(), RECIPE).embedding_hash
    assert pattern_of(row(), other).content_hash == pattern_of(row(), RECIPE).content_hash


def test_the_server_and_its_load_are_no_part_of_the_recipe() -> None:
    other = EmbeddingConfig(conn_id="d", api="openai", model="m", base_url="http://x", concurrency=9, query_prefix="q")
    assert recipe_of(other) == RECIPE


def test_text_names_what_is_known() -> None:
    assert document_text("f", None, None, "") == "File: f\nLanguage: unknown\nPath: unknown\n\nCode:\n"
    assert document_text(None, None, None, "").startswith("File: unknown\n")


def test_all_keys_of_a_payload_are_known_as_the_syncs_own() -> None:
    """Others' keys are told from ours by this list: one that it lacks would count as somebody else's."""
    written = pattern_of(row(), RECIPE).marked_truncated().payload.keys() | {SYNC_TIMESTAMP}
    assert written == set(PAYLOAD_KEYS)
