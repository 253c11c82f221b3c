"""The words of a pattern: what becomes a term, how much it weighs, and that a recipe's name stands for its vectors."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_patterns.embeddings.words import (
    WORDS_RECIPE,
    PatternTexts,
    Words,
    matched,
    words_of,
    words_of_code,
    words_of_question,
)
from tests.support.words import words_of_one

any_text = st.text(st.characters(codec=None), max_size=300)

SAMPLE = (
    "def parseHttpUrl(raw_url: str, *, strict=False):\n    # für Größen\n    return HTTPServer2(raw_url)\n",
    "src/net/http_utils.py",
    "Retries requests with exponential backoff; see RFC2616.",
)


def test_a_vector_changes_only_with_the_name_of_the_recipe() -> None:
    """Whoever changes what is computed must change ``WORDS_RECIPE``: points are written again only then."""
    code, path, description = SAMPLE
    words = words_of_one((description, code), "parseHttpUrl", path)
    digest = hashlib.blake2b(words.indices.tobytes() + words.values.round(4).tobytes(), digest_size=8).hexdigest()
    assert (WORDS_RECIPE, digest) == ("identifiers-stems-abbreviations/2", "f5b0e0bbcfc379c8")


@given(text=any_text, name=st.none() | any_text)
@settings(max_examples=300)
def test_every_text_gives_a_vector_that_qdrant_takes(text: str, name: str | None) -> None:
    words = words_of_one([text], name)
    assert len(words.indices) == len(words.values) > 0
    assert (words.indices.dtype, words.values.dtype) == (np.uint32, np.float32)
    assert (np.diff(words.indices.astype(np.int64)) > 0).all()
    assert np.isfinite(words.values).all()
    assert (words.values > 0).all()


@given(texts=st.lists(st.tuples(any_text, any_text, any_text), min_size=1, max_size=8))
@settings(max_examples=200)
def test_patterns_have_the_same_words_together_as_alone(texts: list[tuple[str, str, str]]) -> None:
    together = words_of([PatternTexts([text], name, path) for text, name, path in texts])
    for (text, name, path), words in zip(texts, together, strict=True):
        alone = words_of_one([text], name, path)
        assert words.indices.tolist() == alone.indices.tolist()
        assert words.values.tolist() == alone.values.tolist()


@pytest.mark.parametrize("text", ["", " ", "()", "the", "\ud800", "x" * 1_000_000])
def test_odd_texts_have_a_term(text: str) -> None:
    assert len(words_of_one([text]).indices) == 1


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("parse http url", "parseHttpUrl"),
        ("parsing", "raw_parse"),
        ("maximum length", "max_len"),
        ("configuration directory", "cfg_dir"),
        ("HTTPServer", "class HTTPServer2: pass"),
        ("E4031", 'raise Error("E4031")'),
        ("Größe", "größe_messen"),
    ],
)
def test_a_question_meets_the_code_that_it_means(question: str, code: str) -> None:
    assert shared(words_of_question(question), words_of_one([code])), (question, code)
    assert matched(words_of_question(question), code)


def test_a_whole_identifier_is_a_term_of_its_own() -> None:
    whole = words_of_question("parseHttpUrl")
    same, parts = words_of_one(["parseHttpUrl()"]), words_of_one(["url of http, parsed"])
    assert shared(whole, same) == shared(whole, parts) + 1
    assert shared(words_of_code("parseHttpUrl"), same) == shared(words_of_code("parseHttpUrl"), parts) == 3


def test_weights() -> None:
    [once] = words_of_one(["zebra"]).values
    [twice] = words_of_one(["zebra zebra"]).values
    assert once < twice < 2 * once, "counts saturate"
    named, other = words_of_one(["zebra gnu"], "zebra"), words_of_one(["zebra gnu"], "gnu")
    assert weight(named, "zebra") > weight(other, "zebra"), "the name counts more"
    assert weight(words_of_one(["zebra" + " gnu" * 500]), "zebra") < once, "in a long text a word says less"
    assert words_of_question("zebra zebra").values.tolist() == [1.0]


def test_matched_words_are_told_as_they_are_written() -> None:
    assert matched(words_of_question("parsing configurations"), "x = parseCfg(CFG, cfg)") == ["parseCfg", "CFG"]


def shared(one: Words, other: Words) -> int:
    return len(np.intersect1d(one.indices, other.indices))


def weight(words: Words, word: str) -> float:
    [index] = words_of_question(word).indices
    return float(words.values[words.indices == index][0])
