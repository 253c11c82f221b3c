"""Several targets beside each other: each has its own rows, its own progress, and vectors that others have made."""

import asyncio
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from qdrant_client import AsyncQdrantClient, models

from code_patterns.errors import ConfigurationError, ParityError
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync import resolution
from code_patterns.sync.pattern import EMBEDDING_HASH
from code_patterns.sync.proof_session import ProofSession
from code_patterns.sync.row_filter import RowFilter
from code_patterns.sync.sync_target import SyncTarget
from tests.conftest import config_of
from tests.support.faulty_qdrant import QdrantServer
from tests.support.fixtures import drop_collections
from tests.support.running_stream import eventually, running_stream
from tests.support.two_qdrants import namesakes
from tests.support.two_sides import TwoSides, rows

PYTHON = RowFilter(languages=("python",))
GO = RowFilter(languages=("go",))


def of_target(sides: TwoSides, name: str, rows: RowFilter = PYTHON, donors: tuple[str, ...] = ()) -> TwoSides:
    """The same servers, for a target with a collection of its own."""
    return replace(sides, collection=f"{sides.collection}_{name}", settings={"target": SyncTarget(name, rows, donors)})


def ids(patterns: list[dict[str, Any]]) -> set[uuid.UUID]:
    return {row["id"] for row in patterns}


@pytest.fixture
def mixed(sides: TwoSides) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of two languages, and one of another type."""
    python, go = rows(12), rows(8, 20, language="go")
    sides.insert([*python, *go, *rows(1, 40, pattern_type="config")])
    return python, go


@pytest.mark.parametrize(
    ("wanted", "columns"),
    [
        (RowFilter(languages=("go", "rust")), {"language": "go"}),
        (RowFilter(projects=("alpha",)), {"metadata": json.dumps({"project_id": "alpha"})}),
        (RowFilter(paths=("src/core/",)), {"file_path": "src/core/run.py"}),
        # As in the payload: what pattern_data says counts where the column says nothing.
        (
            RowFilter(languages=("go",), paths=("lib/",)),
            {
                "language": "",
                "file_path": None,
                "pattern_data": '{"code": "x", "language": "go", "file_path": "lib/x"}',
            },
        ),
    ],
)
def test_each_filter_lets_its_rows_through_and_no_others(
    sides: TwoSides, wanted: RowFilter, columns: dict[str, Any]
) -> None:
    inside, outside = rows(3, **columns), rows(3, 10)
    # A value must not be taken for SQL, nor NULL for a value that fits.
    outside += rows(1, 20, language="g'o", metadata='"alpha"') + rows(1, 21, language=None, metadata=None)
    sides.insert([*inside, *outside])
    target = of_target(sides, "some", wanted)
    result = target.sync("full")
    assert (result.counts["new"], result.parity) == (3, "proven")
    assert target.points().keys() == ids(inside)
    assert target.sync("verify").parity == "proven"


def test_a_row_that_stops_matching_leaves_and_one_that_begins_to_match_comes(
    sides: TwoSides, mixed: tuple[list[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    python, go = mixed
    target = of_target(sides, "py")
    target.sync("full")
    sides.execute("UPDATE pattern_lineage_nodes SET language = 'go' WHERE id = %s", [python[0]["id"]])
    sides.execute("UPDATE pattern_lineage_nodes SET language = 'python' WHERE id = %s", [go[0]["id"]])
    hourly = target.sync()
    assert (hourly.kind, hourly.counts["deleted"], hourly.counts["new"]) == ("incremental", 1, 1)
    assert target.points().keys() == ids(python[1:]) | {go[0]["id"]}
    assert target.sync("full").counts["unchanged"] == 12


def test_a_change_of_metadata_moves_a_row_between_projects(sides: TwoSides) -> None:
    patterns = rows(6, metadata=json.dumps({"project_id": "alpha"}))
    sides.insert(patterns)
    alpha = of_target(sides, "alpha", RowFilter(projects=("alpha",)))
    beta = of_target(sides, "beta", RowFilter(projects=("beta",)))
    alpha.sync("full")
    beta.sync("full")
    sides.execute(
        'UPDATE pattern_lineage_nodes SET metadata = \'{"project_id": "beta"}\' WHERE id = %s', [patterns[0]["id"]]
    )
    assert (alpha.sync().counts["deleted"], beta.sync().counts["new"]) == (1, 1)
    assert beta.points().keys() == {patterns[0]["id"]}


def test_an_hourly_run_notices_a_changed_filter_and_deletes_within_the_limit(
    sides: TwoSides, mixed: tuple[list[dict[str, Any]], list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    python, go = mixed
    of_target(sides, "all", RowFilter(languages=("python", "go"))).sync("full")
    narrowed = of_target(sides, "all")
    with caplog.at_level("INFO"), pytest.raises(ConfigurationError, match="Refusing to delete 8 of 20 points") as told:
        narrowed.sync()
    assert "the target's filter has changed" in caplog.text
    assert "that the target's filters are right" in str(told.value)
    assert narrowed.points().keys() == ids(python) | ids(go)
    full = narrowed.sync("full", allow_mass_delete=True)
    assert (full.counts["deleted"], full.parity) == (8, "proven")
    assert narrowed.points().keys() == ids(python)
    assert narrowed.sync().kind == "incremental"


def test_a_widened_filter_brings_the_old_rows_with_the_next_run(
    sides: TwoSides, mixed: tuple[list[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    of_target(sides, "all").sync("full")
    with pytest.raises(ConfigurationError, match="the target's filter has changed"):
        of_target(sides, "all", RowFilter()).sync("verify")
    widened = of_target(sides, "all", RowFilter()).sync()
    assert (widened.kind, widened.counts["new"], widened.parity) == ("full", 8, "proven")


def test_a_filter_that_nothing_passes_empties_nothing(
    sides: TwoSides, mixed: tuple[list[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    of_target(sides, "py").sync("full")
    with pytest.raises(ConfigurationError, match="no code pattern that passes the filters of the target 'py'"):
        of_target(sides, "py", RowFilter(languages=("cobol",))).sync("full")


def test_the_proof_reads_and_counts_with_the_filter(
    sides: TwoSides, mixed: tuple[list[dict[str, Any]], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the sync's own eyes take rows of another language for rows of this target."""
    real = ProofSession.open
    monkeypatch.setattr(ProofSession, "open", lambda config, cluster, only: real(config, cluster, PYTHON))
    with pytest.raises(ParityError, match="8 patterns still differ"):
        of_target(sides, "py", RowFilter(languages=("python", "go"))).sync("full")


def test_targets_beside_each_other_are_independent(
    sides: TwoSides, mixed: tuple[list[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    first, second = of_target(sides, "py"), of_target(sides, "go", GO)
    first.sync("full")
    sides.insert(rows(2, 60))
    second.sync("full")
    sides.insert(rows(3, 70, language="go"))
    assert (first.sync().counts["new"], second.sync().counts["new"]) == (2, 3)
    # A run that holds the collection of one keeps no run of the other waiting.
    with psycopg.connect(sides.postgres.conninfo) as holder:
        [(physical,)] = sides.execute(
            "SELECT DISTINCT collection FROM pattern_sync_runs WHERE name = %s", [first.collection]
        )
        holder.execute("SELECT pg_advisory_lock(hashtext('code_patterns sync'), hashtext(%s))", [physical])
        assert second.sync("full", settled=False).parity == "proven"


def test_a_collection_of_another_target_is_refused_until_it_is_taken_over(
    sides: TwoSides, mixed: tuple[list[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    mine = of_target(sides, "py")
    mine.sync("full")
    thief = replace(mine, settings={"target": SyncTarget("go", GO)})
    for other in (thief, replace(mine, settings={})):
        with pytest.raises(ConfigurationError, match="belongs to the target 'py', and this run is for the target"):
            other.sync("full")
    assert thief.sync("full", take_over=True, allow_mass_delete=True).parity == "proven"
    with pytest.raises(ConfigurationError, match="belongs to the target 'go'"):
        mine.sync()


IN_FILE = "the key 'collection' of the target 'py' in the targets file"


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("length", f"or set {IN_FILE} to another name"),
        ("named vectors", f"Set {IN_FILE} to another name"),
        ("others", f"that very collection, set {IN_FILE} to 'THEIRS'"),
        ("never written", f"name another one, or set {IN_FILE} to another name"),
    ],
)
def test_a_wrong_collection_is_to_be_corrected_in_the_targets_file(
    sides: TwoSides, monkeypatch: pytest.MonkeyPatch, how: str, told: str
) -> None:
    target, theirs = of_target(sides, "py"), f"{sides.collection}_theirs"
    sides.insert(rows(3))
    size = 7 if how == "length" else sides.embedding.dimension
    vectors = models.VectorParams(size=size, distance=models.Distance.COSINE)
    named = {"one": vectors} if how == "named vectors" else vectors
    real = theirs if how in ("others", "never written") else target.collection
    sides.with_client(lambda client: client.create_collection(real, vectors_config=named))
    if real == theirs:
        lead = models.CreateAlias(collection_name=theirs, alias_name=target.collection)
        make = models.CreateAliasOperation(create_alias=lead)
        sides.with_client(lambda client: client.update_collection_aliases([make]))
    if how == "never written":
        monkeypatch.setattr(resolution, "NEVER_WRITTEN", (theirs,))
    with pytest.raises(ConfigurationError) as raised:
        target.sync("full")
    assert told.replace("THEIRS", theirs) in raised.value.message
    assert "Variable" not in raised.value.message


def test_what_is_logged_and_recorded_names_the_dags_of_the_target(
    sides: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    mine = SyncTarget("py", PYTHON, migration="schema_migration__py_postgres")
    target = replace(of_target(sides, "py"), settings={"target": mine})
    sides.insert(rows(5))
    target.sync("full")
    sides.execute("ALTER TABLE pattern_lineage_nodes DISABLE TRIGGER USER")
    caplog.clear()
    target.sync()
    assert "Run schema_migration__py_postgres with dry_run off: it makes the triggers again." in caplog.text
    [point] = list(target.points())[:1]
    gone = models.PointIdsList(points=[str(point)])
    sides.with_client(lambda client: client.delete(target.collection, gone, wait=True))
    with pytest.raises(ConfigurationError, match="Run pattern_verify__py with the Param heal"):
        target.sync("verify")
    recorded = sides.execute("SELECT error FROM pattern_sync_runs WHERE error IS NOT NULL")
    assert ["Run pattern_verify__py with the Param heal" in text for (text,) in recorded] == [True]


def test_a_donor_that_does_not_fit_asks_nobody_to_set_a_variable(
    sides: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    donor = f"{sides.collection}_donor"
    vectors = {"one": models.VectorParams(size=7, distance=models.Distance.COSINE)}
    sides.with_client(lambda client: client.create_collection(donor, vectors_config=vectors))
    sides.insert(rows(3))
    with caplog.at_level("INFO"):
        assert of_target(sides, "py", donors=(donor,)).sync("full").parity == "proven"
    assert f"No vectors are copied from '{donor}'" in caplog.text
    assert "Variable" not in caplog.text


class TestCopiedVectors:
    """One embedding serves two targets."""

    def test_what_the_other_target_has_is_copied_and_only_the_rest_is_made(
        self,
        sides: TwoSides,
        mixed: tuple[list[dict[str, Any]], list[dict[str, Any]]],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        python, go = mixed
        of_target(sides, "py").sync("full")
        everything = of_target(sides, "all", RowFilter(), (f"{sides.collection}_py",))
        with caplog.at_level("INFO"):
            result = everything.sync("full")
        assert (result.counts["new"], result.counts["embedded_texts"], result.parity) == (20, 8, "proven")
        assert "12 vectors were copied" in caplog.text
        assert everything.sync("verify").parity == "proven"
        alone = of_target(sides, "alone", RowFilter())
        assert alone.sync("full").counts["embedded_texts"] == 20
        copied, made = everything.points(), alone.points()
        assert copied.keys() == made.keys() == ids(python) | ids(go)
        for node_id, point in made.items():
            assert np.allclose(copied[node_id]["vector"], point["vector"], atol=1e-6)
            assert copied[node_id]["words"] == point["words"]
            assert {**copied[node_id], "vector": 0, "sync_timestamp": 0} == {**point, "vector": 0, "sync_timestamp": 0}

    def test_what_is_not_the_same_is_never_copied(self, sides: TwoSides) -> None:
        patterns = rows(6)
        sides.insert(patterns)
        donor = of_target(sides, "donor", RowFilter())
        donor.sync("full")
        truth = donor.points()
        edited, foreign, zeroed, wrong = (row["id"] for row in patterns[:4])

        async def spoil(client: AsyncQdrantClient) -> None:
            name = donor.collection
            noise = [1.0, *[0.0] * 63]
            # A vector of another text, a point of somebody else, a useless vector, a hash that another row's point has.
            await client.update_vectors(name, [models.PointVectors(id=str(edited), vector={"": noise})])
            await client.set_payload(name, payload={EMBEDDING_HASH: "0" * 32}, points=[str(edited)], wait=True)
            await client.upsert(name, [models.PointStruct(id=str(foreign), vector=noise, payload={"text": "mine"})])
            await client.upsert(name, [models.PointStruct(id=7, vector=noise, payload=dict(truth[wrong]))])
            await client.update_vectors(name, [models.PointVectors(id=str(zeroed), vector={"": [0.0] * 64})])
            await client.set_payload(
                name, payload={EMBEDDING_HASH: truth[edited][EMBEDDING_HASH]}, points=[str(wrong)], wait=True
            )

        for point in truth.values():
            point.pop("vector")
            point.pop("words")
        donor.with_client(spoil)
        copier = of_target(sides, "copier", RowFilter(), (donor.collection,))
        result = copier.sync("full")
        assert (result.counts["embedded_texts"], result.parity) == (4, "proven")
        alone = of_target(sides, "alone", RowFilter())
        alone.sync("full")
        made = alone.points()
        for node_id, point in copier.points().items():
            assert np.allclose(point["vector"], made[node_id]["vector"], atol=1e-6), node_id

    @pytest.mark.parametrize("changes", [{"dimension": 32}, {"model": "hashing-v1", "document_prefix": "x: "}])
    def test_a_collection_of_another_recipe_gives_nothing(self, sides: TwoSides, changes: dict[str, Any]) -> None:
        sides.insert(rows(5))
        donor = of_target(sides, "donor", RowFilter()).with_embedding(**changes)
        donor.sync("full")
        copier = of_target(sides, "copier", RowFilter(), (donor.collection,))
        assert copier.sync("full").counts["embedded_texts"] == 5

    def test_a_collection_of_another_length_that_claims_the_same_recipe_gives_nothing(self, sides: TwoSides) -> None:
        sides.insert(rows(5))
        donor = of_target(sides, "donor", RowFilter())
        donor.sync("full")
        claimed = {node_id: point[EMBEDDING_HASH] for node_id, point in donor.points().items()}

        async def rebuild(client: AsyncQdrantClient) -> None:
            [physical] = [
                item.collection_name
                for item in (await client.get_aliases()).aliases
                if item.alias_name == donor.collection
            ]
            metadata = (await client.get_collection(physical)).config.metadata
            await client.delete_collection(physical)
            size = models.VectorParams(size=32, distance=models.Distance.COSINE)
            await client.create_collection(donor.collection, vectors_config=size, metadata=metadata)
            points = [
                models.PointStruct(id=str(node_id), vector=[1.0] * 32, payload={EMBEDDING_HASH: claim})
                for node_id, claim in claimed.items()
            ]
            await client.upsert(donor.collection, points, wait=True)

        donor.with_client(rebuild)
        result = of_target(sides, "copier", RowFilter(), (donor.collection,)).sync("full")
        assert (result.counts["embedded_texts"], result.parity) == (5, "proven")

    def test_a_missing_collection_is_left_out(self, sides: TwoSides, caplog: pytest.LogCaptureFixture) -> None:
        sides.insert(rows(5))
        first = of_target(sides, "first", RowFilter())
        first.sync("full")
        copier = of_target(sides, "copier", RowFilter(), ("gone", first.collection))
        with caplog.at_level("INFO"):
            assert copier.sync("full").counts["embedded_texts"] == 0
        assert "No vectors are copied from 'gone'" in caplog.text

    def test_a_stream_does_not_look_for_a_missing_collection_each_time(
        self, served: TwoSides, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = of_target(served, "first", RowFilter())
        copier = of_target(served, "copier", RowFilter(), ("gone", first.collection))
        for target in (first, copier):
            target.sync("full")
        with caplog.at_level("INFO"), running_stream(copier, linger_seconds=1.0) as running:
            for start in (0, 10, 20):
                new = rows(2, start)
                served.insert(new)
                eventually(lambda new=new: ids(new) <= copier.points().keys())
            result = running.join()
        assert result.counts["embedded_texts"] == 6
        assert caplog.text.count("No vectors are copied from 'gone'") == 1
        # What another target has by then is found all the same.
        served.insert(rows(3, 30))
        first.sync()
        assert copier.sync().counts["embedded_texts"] == 0

    def test_a_collection_that_the_key_may_not_read_is_left_out(
        self, migrated_database: str, qdrant_server: QdrantServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        qdrant = QdrantConfig(conn_id="patterns_qdrant", url=qdrant_server.url)
        sides = TwoSides(config_of(migrated_database), qdrant, f"test_{uuid.uuid4().hex[:12]}")
        sides.insert(rows(5))
        donor = of_target(sides, "donor", RowFilter())
        donor.sync("full")
        qdrant_server.forbidden.add(donor.collection)
        copier = of_target(sides, "copier", RowFilter(), (donor.collection,))
        with caplog.at_level("INFO"):
            result = copier.sync("full")
        qdrant_server.heal()
        asyncio.run(drop_collections(qdrant, sides.collection))
        assert (result.counts["embedded_texts"], result.parity) == (5, "proven")
        assert "refused with status 403" in caplog.text


def test_the_proof_of_one_target_is_none_of_another_with_the_same_name(sides: TwoSides, tmp_path: Path) -> None:
    sides.insert(rows(4))
    a, b = namesakes(sides, tmp_path)
    assert a.sync("full").proof_age_seconds is not None
    assert b.sync("full", dry_run=True).proof_age_seconds is None
    assert a.sync().proof_age_seconds is not None
