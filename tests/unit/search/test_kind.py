"""Identifiers, code and questions."""

import pytest

from code_patterns.search.kind import Kind, kind_of


@pytest.mark.parametrize(
    "text",
    [
        "parse_url",
        "parseHttpUrl",
        "os.path.join()",
        "std::vector",
        "self->count",
        "utf8",
        "where is parse_url defined",
        "Where is the function parseHttpUrl defined?",
        "definition of http.client",
    ],
)
def test_identifiers(text: str) -> None:
    assert kind_of(text) is Kind.IDENTIFIER


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return x",
        "for a in b: c(a)",
        "const f = (x) => x + 1;",
        "values[i] = sorted(other, key=len)",
        "if (a == b) { return c; }",
    ],
)
def test_code(text: str) -> None:
    assert kind_of(text) is Kind.CODE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "retry",
        "retry with backoff",
        "parse an ISO-8601 date (with its timezone)",
        "where is the configuration read",
        "what does `parse_url` do with quotes?",
        "try/except around open()",
    ],
)
def test_questions(text: str) -> None:
    assert kind_of(text) is Kind.QUESTION


def test_a_text_of_letters_alone_is_looked_at_once() -> None:
    assert kind_of("a" * 1_000_000) is Kind.QUESTION
    assert kind_of("a" * 1_000_000 + "1") is Kind.IDENTIFIER
