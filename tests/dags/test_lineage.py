"""What OpenLineage hears of a run, asked for as its provider asks."""

from typing import Any

import pytest
from airflow.providers.openlineage.extractors import ExtractorManager, OperatorLineage
from airflow.utils.state import TaskInstanceState
from openlineage.client.serde import Serde

from tests.dags.conftest import parsed
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def lineage_of(metadata_database: None) -> Any:
    """Run a task of a DAG, and extract its lineage afterwards."""

    def run(dag_id: str, task_id: str, **params: Any) -> OperatorLineage:
        dag = parsed(dag_id)
        ran: dict[str, Any] = {}
        operator = type(dag.get_task(task_id))
        execute = operator.execute

        def remember(self: Any, context: Any) -> Any:
            ran[self.task_id] = self
            return execute(self, context)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(operator, "execute", remember)
            dag_run = dag.test(run_conf=params)
        instance = dag_run.get_task_instance(task_id)
        assert instance.state == "success"
        return ExtractorManager().extract_metadata(dag_run, ran[task_id], TaskInstanceState.SUCCESS, instance)

    return run


def counts(lineage: OperatorLineage) -> tuple[dict[str, int], dict[str, int]]:
    read = {f"{item.namespace} {item.name}": item.inputFacets["inputStatistics"].rowCount for item in lineage.inputs}
    written = {
        f"{item.namespace} {item.name}": item.outputFacets["outputStatistics"].rowCount for item in lineage.outputs
    }
    return read, written


def names(sides: TwoSides) -> tuple[str, str]:
    """The source table and the collection, as OpenLineage names them."""
    table = f"postgres://{sides.postgres.host}:{sides.postgres.port} {sides.postgres.database}.public"
    if sides.qdrant.path:
        return table, f"file {sides.qdrant.path}/collection/{sides.collection}"
    return table, f"qdrant://{sides.qdrant.url.split('//')[1]} {sides.collection}"


def test_a_sync_reads_rows_and_writes_points(connected: TwoSides, lineage_of: Any) -> None:
    connected.insert(rows(11))
    table, collection = names(connected)
    read, written = counts(lineage_of("pattern_sync_full", "sync"))
    assert (read, written) == ({f"{table}.pattern_lineage_nodes": 11}, {collection: 11})


def test_columns_become_payload_keys(connected: TwoSides, lineage_of: Any) -> None:
    connected.insert(rows(2))
    table, _ = names(connected)
    [points] = lineage_of("pattern_sync_full", "sync").outputs
    facet = Serde.to_dict(points)["facets"]["columnLineage"]
    assert facet["_schemaURL"].endswith("ColumnLineageDatasetFacet")
    told = {key: [item["field"] for item in field["inputFields"]] for key, field in facet["fields"].items()}
    assert told["code"] == ["pattern_data"]
    assert told["text"] == ["pattern_name", "file_path", "language", "pattern_data"]
    assert {item["field"] for item in facet["dataset"]} == {"pattern_type"}
    sources = {
        f"{item['namespace']} {item['name']}"
        for field in (*facet["fields"].values(), {"inputFields": facet["dataset"]})
        for item in field["inputFields"]
    }
    assert sources == {f"{table}.pattern_lineage_nodes"}


def test_a_dry_run_writes_nothing(connected: TwoSides, lineage_of: Any) -> None:
    connected.insert(rows(4))
    table, _ = names(connected)
    read, written = counts(lineage_of("pattern_sync_full", "sync", dry_run=True))
    assert (read, written) == ({f"{table}.pattern_lineage_nodes": 4}, {})


def test_a_backfill_reads_points_and_writes_scores(connected: TwoSides, lineage_of: Any) -> None:
    connected.insert(rows(6))
    lineage_of("pattern_sync_full", "sync")
    table, collection = names(connected)
    read, written = counts(lineage_of("quality_backfill", "score", collection=connected.collection, delay_seconds=0))
    assert (read, written) == ({collection: 6}, {f"{table}.pattern_quality_metrics": 6})
