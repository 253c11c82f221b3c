"""The bounds of a query, and the messages that name them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from code_patterns.search import SearchQuery, WrongQueryError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "x" * 20_001}, "The field 'text' of the search must be a text of at most 20,000 characters."),
        ({"limit": 0}, "The field 'limit' of the search must be a whole number from 1 to 100."),
        ({"limit": "101"}, "The field 'limit' of the search must be a whole number from 1 to 100."),
        ({"limit": True}, "The field 'limit' of the search must be a whole number from 1 to 100."),
        ({"offset": 1001}, "The field 'offset' of the search must be a whole number from 0 to 1000."),
        ({"min_quality": "1.1"}, "The field 'min_quality' of the search must be a number from 0 to 1."),
        ({"min_confidence": "nan"}, "The field 'min_confidence' of the search must be a number from 0 to 1."),
        (
            {"mode": "fast"},
            "The field 'mode' of the search must be one of auto, words, meaning, hybrid, similar.",
        ),
        (
            {"created_since": "yesterday"},
            "The field 'created_since' of the search must be a day such as 2026-03-01, or a time with its zone, such "
            "as 2026-03-01T14:00:00Z.",
        ),
        ({"language": "p\0"}, "The field 'language' of the search must be a text without the character NUL."),
        (
            {"path_prefix": "x" * 1001},
            "The field 'path_prefix' of the search must be a text of at most 1,000 characters.",
        ),
        (
            {"similar_to": "a", "mode": "words"},
            "The field 'similar_to' needs the mode 'similar' or 'auto', not 'words'.",
        ),
        ({"mode": "similar"}, "The mode 'similar' needs the field 'text' or 'similar_to'."),
    ],
)
def test_a_wrong_field_is_named_with_its_bound(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongQueryError) as raised:
        SearchQuery.read(fields)
    assert raised.value.message == message
    assert raised.value.field in fields | {"text": ""}


def test_an_unknown_field_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        WrongQueryError, match=r"^A search has no field 'quality'\. Known are text, .*, offset\. \[PAT-R-001\]$"
    ):
        SearchQuery.read({"quality": 1})


def test_texts_of_forms_and_urls() -> None:
    read = SearchQuery.read(
        {
            "text": " retry ",
            "limit": "5",
            "min_quality": "0.5",
            "created_since": "2026-03-01",
            "language": "",
            "project": None,
        }
    )
    assert read == SearchQuery(text="retry", limit=5, min_quality=0.5, created_since=datetime(2026, 3, 1, tzinfo=UTC))
    assert SearchQuery.read({"created_since": "2026-03-01T02:00:00+02:00"}).created_since == read.created_since
