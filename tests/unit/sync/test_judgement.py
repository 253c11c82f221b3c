"""Every way in which two sides can stand to each other, and what a run makes of it."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from qdrant_client import models

from code_patterns.embeddings.words import WORDS_RECIPE
from code_patterns.sync.checkpoint import Checkpoint
from code_patterns.sync.collection import Collection, Description, StoredCollection
from code_patterns.sync.diff import Watermark
from code_patterns.sync.identity import DatabaseIdentity, next_token, token_number
from code_patterns.sync.judgement import Judgement, judge
from code_patterns.sync.row_filter import RowFilter
from code_patterns.sync.snapshot import Snapshot
from code_patterns.sync.source import Horizon
from code_patterns.sync.sync_target import SyncTarget
from tests.support.two_sides import HASHING

OURS = DatabaseIdentity("id", "patterns", "7", "db:5432")
HORIZON = Horizon(Snapshot.before(100), "7", "7 as started today")
MARK = Watermark(50, UUID(int=1))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KNOWN = Checkpoint("7", MARK, progress="3-a")
GOOD = Judgement(MARK, agreed=True)


def collection(owner: DatabaseIdentity | None = OURS, progress: str | None = "3-a") -> Collection:
    description = Description(identity="c", database=owner, progress=progress, words=WORDS_RECIPE)
    words = models.SparseVectorParams(modifier=models.Modifier.IDF)
    return Collection("name", "name", HASHING, StoredCollection("name", None, description, sparse=words))


def with_words(recipe: str | None, *, words: bool = True, there: bool = True) -> Collection:
    whole = collection()
    assert whole.stored
    stored = replace(whole.stored, description=replace(whole.description, words=recipe))
    return replace(whole, stored=stored if there else replace(stored, sparse=None), words=words)


def proven_with(rows: RowFilter, now: RowFilter) -> Collection:
    whole = collection()
    assert whole.stored
    description = replace(whole.stored.description, rows=rows.text)
    return replace(whole, stored=replace(whole.stored, description=description), target=SyncTarget("a", now))


GO = RowFilter(languages=("go",))


@pytest.mark.parametrize(
    ("found", "checkpoint", "expected"),
    [
        pytest.param(proven_with(GO, GO), KNOWN, GOOD, id="the same filter"),
        pytest.param(proven_with(GO, RowFilter()), KNOWN, "filter has changed", id="the filter was removed"),
        pytest.param(proven_with(RowFilter(), GO), KNOWN, "filter has changed", id="a filter was added"),
        pytest.param(
            proven_with(GO, RowFilter(projects=("go",))),
            KNOWN,
            "filter has changed",
            id="the same value of another key",
        ),
        pytest.param(collection(), KNOWN, GOOD, id="both hold the token"),
        pytest.param(collection(), replace(KNOWN, progress="2-z", pending="3-a"), GOOD, id="it has arrived unnoted"),
        pytest.param(collection(), replace(KNOWN, pending="4-b"), GOOD, id="it was announced only"),
        pytest.param(with_words("other"), KNOWN, "words of its points", id="words of another recipe"),
        pytest.param(with_words(None), KNOWN, "words of its points", id="no words yet"),
        pytest.param(with_words(WORDS_RECIPE, there=False), KNOWN, "have no words", id="the words were removed"),
        pytest.param(with_words(None, words=False, there=False), KNOWN, GOOD, id="no words ever"),
        pytest.param(collection(owner=None), KNOWN, GOOD, id="described without an owner"),
        pytest.param(collection(progress=None), None, "never synced", id="neither has one"),
        pytest.param(collection(), None, "knows of no sync", id="the database has none"),
        pytest.param(replace(collection(), outdated="name"), None, "knows of no sync", id="nor of one of one's own"),
        pytest.param(collection(progress=None), KNOWN, "collection is older", id="the collection has none"),
        pytest.param(
            collection(progress=None),
            Checkpoint("7", pending="1-a"),
            "did not reach its end",
            id="the first one is due",
        ),
        pytest.param(collection(progress="2-z"), KNOWN, "collection is older", id="an older collection"),
        pytest.param(collection(progress="9-z"), KNOWN, "database is older", id="an older database"),
        pytest.param(collection(progress="3-z"), KNOWN, "different ways", id="both went on"),
        pytest.param(
            collection(progress="4-z"), replace(KNOWN, pending="4-b"), "different ways", id="another pending token"
        ),
        pytest.param(collection(), replace(KNOWN, watermark=None), "did not reach its end", id="one is owed"),
        pytest.param(collection(), replace(KNOWN, system_identifier="6"), "another PostgreSQL cluster", id="cluster"),
        pytest.param(collection(), replace(KNOWN, watermark=Watermark(100, MARK.id)), "ahead", id="ids started over"),
        pytest.param(collection(replace(OURS, name="other")), KNOWN, "taken over", id="another owner"),
        pytest.param(collection(), replace(KNOWN, unfinished_in="7 as started today"), GOOD, id="killed in between"),
        pytest.param(
            collection(),
            replace(KNOWN, unfinished_in="7 as started yesterday"),
            "did not come to its end",
            id="killed in between and restored",
        ),
    ],
)
def test_judgement(found: Collection, checkpoint: Checkpoint | None, expected: Judgement | str) -> None:
    judgement = judge(found, OURS, checkpoint, HORIZON)
    if isinstance(expected, Judgement):
        assert judgement == expected
    else:
        assert judgement.start is None
        assert expected in judgement.reason


def test_the_checkpoint_of_a_collection_that_another_one_replaced_is_not_missed() -> None:
    judgement = judge(replace(collection(), outdated="name__1a2b3c4d"), OURS, None, HORIZON)
    assert not judgement.surprising
    assert (judgement.start, judgement.agreed) == (None, False)


def test_a_lost_write_is_an_exchanged_collection() -> None:
    judgement = judge(collection(), OURS, KNOWN, HORIZON, lost_write=True)
    assert not judgement.agreed
    assert "older snapshot" in judgement.reason


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (OURS, True),
        (replace(OURS, address="elsewhere:5432"), True),
        (replace(OURS, system_identifier="8"), True),
        (replace(OURS, system_identifier="8", address="elsewhere:5432"), False),
        (replace(OURS, name="staging"), False),
        (replace(OURS, id="another"), False),
    ],
)
def test_which_databases_are_one(other: DatabaseIdentity, same: bool) -> None:
    assert OURS.is_same(other) is same
    assert other.is_same(OURS) is same


def test_metadata_that_lacks_something_names_nobody() -> None:
    assert DatabaseIdentity.read(None) is None
    assert DatabaseIdentity.read("text") is None
    broken = DatabaseIdentity.read({"id": "id", "name": "patterns"})
    assert broken
    assert not broken.is_same(OURS)


def test_tokens_are_counted_on_from_the_newer_side() -> None:
    token = next_token("3-a", "7-b", None)
    assert token_number(token) == 8
    assert token != next_token("3-a", "7-b")
    assert token_number(next_token(None)) == 1
    assert token_number("spoiled") == 0
