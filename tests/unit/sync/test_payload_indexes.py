"""Which indexes of paths find a path by the name of a folder in it."""

from typing import Any

import pytest
from qdrant_client import models

from code_patterns.search.filters import filter_of
from code_patterns.search.query import SearchQuery
from code_patterns.sync.payload_indexes import FILTERED_KEYS, finds_folders


def index(**params: Any) -> models.PayloadIndexInfo:
    return models.PayloadIndexInfo(
        data_type=models.PayloadSchemaType.TEXT,
        points=1,
        params=models.TextIndexParams(type=models.TextIndexType.TEXT, **params),
    )


@pytest.mark.parametrize(
    ("found", "finds"),
    [
        (None, True),
        (models.PayloadIndexInfo(data_type=models.PayloadSchemaType.KEYWORD, points=1), True),
        (index(tokenizer=models.TokenizerType.WORD, lowercase=True), True),
        (index(tokenizer=models.TokenizerType.WORD, lowercase=True, on_disk=True, phrase_matching=False), True),
        # Those of others may leave out words that the name of a folder has.
        (index(tokenizer=models.TokenizerType.WORD, lowercase=True, min_token_len=3), False),
        (index(tokenizer=models.TokenizerType.WHITESPACE, lowercase=True), False),
        (models.PayloadIndexInfo(data_type=models.PayloadSchemaType.TEXT, points=1), False),
    ],
)
def test_only_the_syncs_own_text_index_is_trusted(found: models.PayloadIndexInfo | None, finds: bool) -> None:
    assert finds_folders(found) is finds


def test_every_filter_that_qdrant_checks_has_an_index() -> None:
    given = {
        "language": "go",
        "pattern_type": "code",
        "project": "p",
        "path_prefix": "src/a",
        "created_since": "2026-01-01",
    }
    condition = filter_of(SearchQuery.read(given), by_folders=True, by_numbers=True)
    assert condition
    assert {each.key for each in condition.must} == FILTERED_KEYS  # type: ignore[union-attr]
