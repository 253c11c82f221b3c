"""A model inside the process: its vectors, and what is said where it cannot be had."""

import asyncio
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from code_patterns.codes import Code
from code_patterns.embeddings import fastembed, open_embedder
from code_patterns.embeddings.base import Embedded, EmbeddingConfig
from code_patterns.errors import ConfigurationError, OutageError
from tests.conftest import ROOT
from tests.integration.search.conftest import find, names, pattern
from tests.support.small_model import DIMENSION, MOST_TOKENS, small_model
from tests.support.two_sides import TwoSides


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingConfig:
    return small_model(tmp_path_factory.mktemp("model") / "minilm")


def embed(config: EmbeddingConfig, texts: Sequence[str]) -> Embedded:
    return asyncio.run(open_embedder(config).embed_documents(texts))


def test_vectors_are_near_where_meanings_are(model: EmbeddingConfig) -> None:
    vectors = embed(model, ["remove the folder", "remove a directory", "send a mail message"]).vectors
    assert vectors.shape == (3, DIMENSION)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    near = vectors @ vectors.T
    assert near[0, 1] > 0.7 > 0.4 > near[0, 2]
    asked = asyncio.run(open_embedder(model).embed_query("remove the folder"))
    assert asked == pytest.approx(vectors[0], abs=1e-5)


def test_texts_of_all_lengths_keep_their_order_and_long_ones_are_known(model: EmbeddingConfig) -> None:
    texts = ["read " * (MOST_TOKENS - 2), "read the header", "read " * (MOST_TOKENS - 1), "", *["mail"] * 20, "copy"]
    embedded = embed(model, texts)
    assert embedded.truncated == [False, False, True, *[False] * 22]
    for index in (0, 1, 3, len(texts) - 1):
        [alone] = embed(model, [texts[index]]).vectors
        # Weights of eight bits: what else is in the batch moves the last digits.
        assert alone @ embedded.vectors[index] > 0.99
    assert embed(replace(model, max_characters=4), ["read the header"]).truncated == [True]
    assert embed(model, []).vectors.shape == (0, DIMENSION)


def test_prefixes_of_texts_and_questions(model: EmbeddingConfig) -> None:
    prefixed = replace(model, document_prefix="file: ", query_prefix="message: ")
    document = embed(prefixed, ["read"]).vectors[0]
    query = asyncio.run(open_embedder(prefixed).embed_query("read"))
    assert document == pytest.approx(embed(model, ["file: read"]).vectors[0], abs=1e-5)
    assert query == pytest.approx(embed(model, ["message: read"]).vectors[0], abs=1e-5)


def test_a_process_loads_a_model_once(model: EmbeddingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    monkeypatch.setattr(fastembed, "_models", {})
    load = fastembed._load
    monkeypatch.setattr(fastembed, "_load", lambda config: loads.append(config) or load(config))

    async def together() -> None:
        await asyncio.gather(*(open_embedder(model).check() for _ in range(4)))

    asyncio.run(together())
    asyncio.run(together())
    assert loads == [model]


def test_a_wrong_dimension_is_named(model: EmbeddingConfig) -> None:
    with pytest.raises(ConfigurationError, match=r"gives vectors of length 384, expected 768. Set the connection's"):
        asyncio.run(open_embedder(replace(model, dimension=768)).check())


@pytest.mark.remedy(Code.PACKAGE_MISSING)
def test_without_the_package(sides: TwoSides, model: EmbeddingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    meaning = replace(sides, embedding=model)
    meaning.insert([pattern("purge")])
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "fastembed", None)
        missing.setattr(fastembed, "_models", {})
        with pytest.raises(ConfigurationError, match=r"no package fastembed.*requirements-optional\.txt"):
            meaning.sync("full")
    assert re.search("^fastembed==", (ROOT / "requirements-optional.txt").read_text(), re.MULTILINE)
    assert meaning.sync("full").parity == "proven"
    meaning.assert_equal_sides()


@pytest.mark.remedy(Code.MODEL_UNAVAILABLE)
def test_a_model_that_cannot_be_had(
    sides: TwoSides, model: EmbeddingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigurationError, match=r"'bge-huge', which fastembed does not know"):
        asyncio.run(open_embedder(replace(model, model="bge-huge")).check())
    with pytest.raises(ConfigurationError, match=r"cannot be loaded from the folder '/nowhere'"):
        asyncio.run(open_embedder(replace(model, path="/nowhere")).check())
    with pytest.raises(OutageError, match=r"is not in the folder '.*cache', and could not be fetched from the hub"):
        asyncio.run(open_embedder(replace(model, path="", cache_dir=str(tmp_path / "cache"))).check())
    copied = tmp_path / "copied"
    meaning = replace(sides, embedding=replace(model, path=str(copied)))
    meaning.insert([pattern("purge")])
    with pytest.raises(ConfigurationError, match=r"Copy the model's files there, with its tokenizer"):
        meaning.sync("full")
    shutil.copytree(model.path, copied)
    assert meaning.sync("full").parity == "proven"
    meaning.assert_equal_sides()


def test_sync_and_search_by_meaning(sides: TwoSides, model: EmbeddingConfig) -> None:
    meaning = replace(sides, embedding=model)
    meaning.insert(
        [
            pattern("purge", "def purge(path):\n    remove(directory)", file_path="a"),
            pattern("notify", "def notify(line):\n    send(mail)", file_path="b"),
        ]
    )
    meaning.sync("full")
    answer = find(meaning, "remove the folder")
    assert (answer.mode, names(answer)) == ("hybrid", ["purge", "notify"])
    first, second = answer.hits
    assert first.meaning_score is not None
    assert second.meaning_score is not None
    assert first.meaning_score > second.meaning_score
    assert "remove" in first.matched_words
    assert second.words_score is None
