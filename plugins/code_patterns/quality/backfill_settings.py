"""The settings of a quality backfill."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from code_patterns import params as run_params
from code_patterns.params import Param, ReadVariable, Variable
from code_patterns.quality.dimensions import ONEX_WEIGHT
from code_patterns.servers.patience import PATIENCE_SECONDS
from code_patterns.typed_fields import (
    COLLECTION_NAME,
    NOT_BOOLEAN,
    BatchSize,
    CollectionName,
    Flag,
    Limit,
    Seconds,
    own_rule,
)

ALL = "all"
COLLECTIONS = ("archon_vectors", "quality_vectors", "code_patterns", "execution_patterns")
"""The collections that ``all`` means; those that do not exist are left out."""


def _names(param: Any) -> tuple[str, ...]:
    name = param.strip() if isinstance(param, str) else ""
    if not name or "/" in name:
        raise own_rule("the name of a Qdrant collection, or 'all'")
    return COLLECTIONS if name == ALL else (name,)


def _four_decimals(weight: float) -> float:
    # The version of a score names its weight.
    return round(weight, 4) + 0.0


@dataclass(frozen=True)
class SyncedCollection:
    """The collection that the sync writes, if the Variable names one."""

    name: Annotated[CollectionName, Variable("patterns_collection")] = ""


@dataclass(frozen=True)
class BackfillSettings:
    """How one run behaves.

    :param collections: the collections to read, in this order
    :param only_existing: leave out collections that do not exist, if at least one exists
    :param limit: most points to look at, all collections together, or ``None`` for all
    :param min_confidence: leave out points below this confidence, 0 to 1
    :param batch_size: points read, scored and stored together
    :param delay_seconds: pause between batches
    :param dry_run: score, but store nothing
    :param only_missing: leave out patterns that have a score of this version and weight for this content
    :param onex_weight: weight of ONEX compliance in the composite, 0 to 1; the other dimensions share the rest
    :param patience_seconds: how long the run waits at its start for servers that do not serve yet
    """

    collections: Annotated[
        tuple[str, ...],
        BeforeValidator(_names, json_schema_input_type=Annotated[str, Field(pattern=COLLECTION_NAME)]),
        Param("collection"),
    ] = ("archon_vectors",)
    only_existing: bool = False
    limit: Limit | None = None
    min_confidence: Annotated[float, Field(ge=0, le=1), NOT_BOOLEAN] = 0.0
    batch_size: Annotated[BatchSize, Variable("quality_backfill_batch_size")] = 100
    delay_seconds: Annotated[Seconds, Variable("quality_backfill_delay_seconds")] = 0.5
    dry_run: Flag = False
    only_missing: Flag = False
    onex_weight: Annotated[
        float, Field(ge=0, le=1), AfterValidator(_four_decimals), NOT_BOOLEAN, Variable("quality_onex_weight")
    ] = ONEX_WEIGHT
    patience_seconds: Annotated[Seconds, Variable("patterns_patience_seconds")] = PATIENCE_SECONDS


def choose(params: Mapping[str, Any], run_type: str, read_variable: ReadVariable) -> BackfillSettings:
    """Choose everything for one run; see :func:`code_patterns.params.choose`.

    A run that a sync started covers every collection and scores only what has no score yet, unless its Params say
    otherwise.

    :param run_type: Airflow's ``dag_run.run_type``
    """
    woken = {"collection": ALL, "only_missing": True} if run_type == "asset_triggered" else {}
    chosen = run_params.choose(BackfillSettings, params, read_variable, defaults=woken, given={"only_existing": False})
    if chosen.collections != COLLECTIONS:
        return chosen
    # If the sync writes another collection than code_patterns, 'all' includes that one.
    synced = run_params.choose(SyncedCollection, {}, read_variable).name
    names = dict.fromkeys([*COLLECTIONS, *([synced] if synced else [])])
    return replace(chosen, collections=tuple(names), only_existing=True)
