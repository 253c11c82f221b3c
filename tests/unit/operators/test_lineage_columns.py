"""The columns that lineage names are those that a pattern is really made of."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from code_patterns.operators.lineage_columns import COLUMNS
from code_patterns.sync.pattern import PAYLOAD_KEYS, SYNC_TIMESTAMP, TRUNCATED, SourceRow, pattern_of, words_of_patterns

ROW = SourceRow(
    id=UUID(int=1),
    pattern_id="p",
    pattern_name="retry",
    pattern_type="code",
    pattern_version="1.0.0",
    pattern_data=json.dumps({"code": "def f(): ...", "file_path": "a/b.py", "language": "go", "description": ""}),
    metadata=json.dumps({"description": "again and again"}),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    file_path="a/c.py",
    language="python",
    sync_xid=1,
)
OTHER: dict[str, Any] = {
    "id": UUID(int=2),
    "pattern_id": "q",
    "pattern_name": "repeat",
    "pattern_type": "config",
    "pattern_version": "2.0.0",
    "pattern_data": json.dumps({"code": "x = 1", "file_path": "d/e.py", "language": "rust", "description": "other"}),
    "metadata": json.dumps({"description": "only once"}),
    "created_at": datetime(2026, 1, 2, tzinfo=UTC),
    "file_path": "z/c.py",
    "language": "c",
}


def made_of(row: SourceRow) -> dict[str, Any]:
    pattern = pattern_of(row, "recipe")
    [words] = words_of_patterns([pattern])
    assert words
    return {**pattern.payload, "id": pattern.id, "words": words.indices.tolist()}


def test_changing_a_column_changes_the_keys_that_lineage_says() -> None:
    unread = {field.name for field in fields(SourceRow)} - OTHER.keys()
    assert unread == {"sync_xid", "updated_at", "digest"}
    # A column that is null lets the value inside pattern_data through, and without any path the name stands for it.
    bare = replace(ROW, file_path=None, language=None)
    bases = (ROW, bare, replace(bare, pattern_data=json.dumps({"code": "x = 2"})))
    seen: dict[str, set[str]] = {}
    for column, value in OTHER.items():
        for row in bases:
            before, after = made_of(row), made_of(replace(row, **{column: value}))
            for key in before.keys() | after.keys():
                if before.get(key) != after.get(key):
                    seen.setdefault(key, set()).add(column)
    told = {key: set(origin.columns) for key, origin in COLUMNS.items()}
    # What only the embedding server decides follows from the text.
    assert told["vector"] == told[TRUNCATED] == told["text"]
    assert seen == {key: columns for key, columns in told.items() if key not in ("vector", TRUNCATED)}


def test_every_payload_key_has_an_origin() -> None:
    assert COLUMNS.keys() == {*PAYLOAD_KEYS, "id", "vector", "words"} - {SYNC_TIMESTAMP}
