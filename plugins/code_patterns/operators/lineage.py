"""What a task read and wrote, as OpenLineage datasets with row counts, and which columns became which payload keys.

Only OpenLineage's provider asks for it. Its classes are imported only then, because it may not be installed.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from code_patterns.operators.lineage_columns import COLUMNS, FILTER
from code_patterns.quality.backfill_result import BackfillResult
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.sync_result import SyncResult

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.facet_v2 import RunFacet, column_lineage_dataset

    Lineage: TypeAlias = OperatorLineage[Dataset, RunFacet]

Name = tuple[str, str]
"""Namespace and name of a dataset, as OpenLineage's naming convention has them."""


def sync_lineage(postgres: PostgresConfig, qdrant: QdrantConfig, result: SyncResult) -> "Lineage":
    """Rows read from ``pattern_lineage_nodes``; points written into the collection, without deletions."""
    counts = result.counts
    written = counts["new"] + counts["changed"] + counts["words_only"] + counts["payload_only"]
    rows, points = _table(postgres, "pattern_lineage_nodes"), _collection(qdrant, result.collection)
    lineage = _lineage(
        {rows: counts["examined"]},
        {} if result.dry_run or (result.kind == "verify" and not written) else {points: written},
    )
    for dataset in lineage.outputs:
        dataset.facets = {**(dataset.facets or {}), "columnLineage": _columns(rows)}
    return lineage


def quality_lineage(postgres: PostgresConfig, qdrant: QdrantConfig, result: BackfillResult) -> "Lineage":
    """Points read from each collection; scores stored in ``pattern_quality_metrics``."""
    return _lineage(
        {_collection(qdrant, name): found for name, found in result.found.items()},
        {} if result.dry_run else {_table(postgres, "pattern_quality_metrics"): result.stored},
    )


def _lineage(inputs: Mapping[Name, int], outputs: Mapping[Name, int]) -> "Lineage":
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import input_statistics_input_dataset, output_statistics_output_dataset

    read = input_statistics_input_dataset.InputStatisticsInputDatasetFacet
    written = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
    return OperatorLineage(
        inputs=[
            InputDataset(namespace, name, inputFacets={"inputStatistics": read(rowCount=count)})
            for (namespace, name), count in inputs.items()
        ],
        outputs=[
            OutputDataset(namespace, name, outputFacets={"outputStatistics": written(rowCount=count)})
            for (namespace, name), count in outputs.items()
        ],
    )


def _columns(rows: Name) -> "column_lineage_dataset.ColumnLineageDatasetFacet":
    from openlineage.client.facet_v2 import column_lineage_dataset as facet

    def field(column: str, kind: str, subtype: str, how: str = "") -> facet.InputField:
        return facet.InputField(*rows, column, [facet.Transformation(kind, subtype, how)])

    return facet.ColumnLineageDatasetFacet(
        fields={
            key: facet.Fields([field(column, "DIRECT", origin.subtype, origin.how) for column in origin.columns])
            for key, origin in COLUMNS.items()
        },
        dataset=[field(FILTER, "INDIRECT", "FILTER", "only rows whose type is 'code' become points")],
    )


def _table(postgres: PostgresConfig, table: str) -> Name:
    return f"postgres://{postgres.host}:{postgres.port}", f"{postgres.database}.public.{table}"


def _collection(qdrant: QdrantConfig, name: str) -> Name:
    if qdrant.path:
        return "file", f"{qdrant.path}/collection/{name}"
    return f"qdrant://{urlsplit(qdrant.url).netloc}", name
