"""The hashing embedder: valid, stable, and closer for code that is alike."""

import asyncio
import heapq
import inspect
import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_patterns.embeddings import EmbeddingConfig, open_embedder
from code_patterns.embeddings.hashing import TEXTS_AT_ONCE, hash_text, hash_texts
from tests.conftest import ROOT

any_text = st.text(st.characters(codec=None), max_size=300)


@given(text=any_text, dimension=st.integers(1, 2000))
@settings(max_examples=300)
def test_every_text_gives_a_unit_vector(text: str, dimension: int) -> None:
    vector = hash_text(text, dimension)
    assert vector.shape == (dimension,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector.astype(np.float64)) == pytest.approx(1, abs=1e-5)


@given(text=any_text)
@settings(max_examples=100)
def test_the_same_text_gives_the_same_bits(text: str) -> None:
    assert hash_text(text, 96).tobytes() == hash_text(text, 96).tobytes()


@given(texts=st.lists(any_text, min_size=1, max_size=8), dimension=st.integers(1, 200))
@settings(max_examples=200)
def test_texts_have_the_same_bits_together_as_alone(texts: list[str], dimension: int) -> None:
    together = hash_texts(texts, dimension)
    assert together.shape == (len(texts), dimension)
    assert together.tobytes() == b"".join(hash_text(text, dimension).tobytes() for text in texts)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "+", "é", "\ud800", "_", "0", "x" * 1_000_000])
def test_odd_texts_give_unit_vectors(text: str) -> None:
    assert np.linalg.norm(hash_text(text, 768)) == pytest.approx(1, abs=1e-5)


SNAPSHOT_TEXT = "def parseHttpUrl(base_url: str, größe=2) -> 'URL':\n    return base_url.rstrip('/')  # 日本"
SNAPSHOT = [
    0.572598,
    0.286299,
    -0.181071,
    -0.256074,
    -0.221766,
    -0.128037,
    -0.221766,
    0.0,
    0.128037,
    0.181071,
    -0.286299,
    0.286299,
    -0.221766,
    -0.338754,
    0.0,
    0.0,
]


def test_the_vector_never_changes() -> None:
    """A change here makes every stored vector incomparable: it needs a new model name and a full sync."""
    vector = hash_text(SNAPSHOT_TEXT, 16)
    assert [round(float(value), 6) for value in vector] == SNAPSHOT


def test_another_process_with_another_hash_seed_agrees() -> None:
    program = (
        "import sys; from code_patterns.embeddings.hashing import hash_text; "
        "sys.stdout.write(hash_text(sys.argv[1], 64).tobytes().hex())"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program, SNAPSHOT_TEXT],
            env={"PYTHONPATH": str(ROOT / "plugins"), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {hash_text(SNAPSHOT_TEXT, 64).tobytes().hex()}


def _similarity(left: str, right: str) -> float:
    return float(hash_text(left, 768) @ hash_text(right, 768))


@pytest.mark.parametrize(
    ("one", "alike", "different"),
    [
        (shutil.copymode, shutil.copystat, textwrap.fill),
        (json.dump, json.dumps, heapq.nsmallest),
        (shutil.copyfile, shutil.copy2, textwrap.dedent),
        (textwrap.indent, textwrap.dedent, inspect.getsource),
    ],
)
def test_similar_code_is_closer_than_other_code(one: object, alike: object, different: object) -> None:
    first, second, third = (inspect.getsource(thing) for thing in (one, alike, different))  # type: ignore[arg-type]
    assert _similarity(first, second) > _similarity(first, third) + 0.05


def test_names_count_in_all_their_spellings() -> None:
    query = "parse http url"
    assert _similarity(query, "def parseHttpUrl(): ...") > _similarity(query, "def renderPage(): ...") + 0.1
    assert _similarity(query, "parse_http_url = 1") > _similarity(query, "render_page = 1") + 0.1
    assert _similarity(query, "class ParseHTTPUrl: pass") > _similarity(query, "class RenderPage: pass") + 0.1


def test_a_search_finds_the_function_it_describes() -> None:
    functions = {
        name: inspect.getsource(function)
        for module in (shutil, textwrap, json, heapq)
        for name, function in inspect.getmembers(module, inspect.isfunction)
    }
    names = list(functions)
    vectors = np.stack([hash_text(code, 768) for code in functions.values()])
    for query, expected in [
        ("recursively delete a directory tree", "rmtree"),
        ("remove common leading whitespace from every line", "dedent"),
        ("disk usage statistics total used free", "disk_usage"),
        ("merge sorted inputs into a single sorted output", "merge"),
    ]:
        scores = vectors @ hash_text(query, 768)
        assert expected in [names[place] for place in np.argsort(-scores)[:3]]


def test_the_embedder_applies_prefix_and_limit() -> None:
    config = EmbeddingConfig(
        "c", "hashing", "hashing-v1", 64, document_prefix="doc: ", query_prefix="query: ", max_characters=4
    )

    async def embed() -> None:
        embedder = open_embedder(config)
        await embedder.check()
        embedded = await embedder.embed_documents(["abcdefgh", "", "x\ud800y"])
        vectors = embedded.vectors
        assert vectors.tobytes() == b"".join(hash_text(t, 64).tobytes() for t in ("doc: abcd", "doc: ", "doc: x?y"))
        assert (await embedder.embed_query("abcdefgh")).tobytes() == hash_text("query: abcd", 64).tobytes()
        many = [f"{number} texts" for number in range(2 * TEXTS_AT_ONCE + 1)]
        embedded = await embedder.embed_documents(many)
        assert embedded.vectors.tobytes() == b"".join(hash_text(f"doc: {text[:4]}", 64).tobytes() for text in many)
        assert embedded.truncated == [True] * len(many)
        assert (await embedder.embed_documents([])).vectors.shape == (0, 64)
        await embedder.aclose()

    asyncio.run(embed())
