"""Text of others in messages: nothing in it controls a terminal, hides, or turns the direction of what follows."""

import json
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError
from code_patterns.operators.failure import Failure
from code_patterns.printable import LONGEST, printable
from code_patterns.search.__main__ import as_table
from code_patterns.search.hit import Hit, SearchAnswer
from tests.support.foreign import CASES, examples

HOSTILE = {
    "ANSI colour": "\x1b[31mred\x1b[0m",
    "window title": "\x1b]0;owned\x07",
    "C1 control": "\x9b2J",
    "NUL": "a\0b",
    "carriage return": "real\rfake",
    "bidi override": "user\u202egpj.exe",
    "bidi isolate": "\u2066x\u2069",
    "zero width": "pass\u200bword",
    "line separator": "one\u2028two",
    "lone surrogate": "\ud800",
    "tag characters": "\U000e0041",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(text: str, caplog: pytest.LogCaptureFixture) -> None:
    error = ConfigurationError(Code.ROW_UNREADABLE, f"Row 1 of connection 'c' is wrong: {text}. Correct it.")
    failure = Failure.of(error, 1, 1)
    with caplog.at_level(logging.ERROR):
        logging.getLogger("code_patterns").error("%s", error)
    for said in (str(error), failure.said, failure.text(), *failure.lines(), caplog.messages[0]):
        assert harmless(said), repr(said)
        assert "\\u" in "".join(failure.lines())


def test_a_hostile_pattern_does_nothing_in_the_terminal_of_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    everything = "".join(HOSTILE.values())
    hit = Hit("1", "p", everything, "code", everything, "python", *([None] * 5), 1.0, None, None, (everything,), "")
    shown = printable(as_table(SearchAnswer((hit,), "words", 0.1, False)))
    assert harmless(shown)
    assert json.loads(printable(json.dumps(hit.as_dict(), ensure_ascii=False))) == json.loads(json.dumps(hit.as_dict()))


def test_a_message_is_not_longer_than_people_read() -> None:
    error = OutageError(Code.QDRANT_AWAY, "x" * 10_000_000)
    assert len(error.message) == LONGEST + 1
    assert str(error).endswith("… [PAT-Q-001]")


def test_what_is_printable_stays() -> None:
    text = "Zeile 1\n\tZeile\u00a02: naïve Größe, 中文, עברית, 👍"
    assert printable(text) == text


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs"])))
@examples(CASES)
def test_any_text_becomes_harmless_once(text: str) -> None:
    shown = printable(text)
    assert harmless(shown)
    assert printable(shown) == shown
    shown.encode()


def harmless(text: str) -> bool:
    return all(
        each in "\n\t" or unicodedata.category(each) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for each in text
    )
