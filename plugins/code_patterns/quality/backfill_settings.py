"""What a person may choose for a quality backfill."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from code_patterns.errors import ConfigurationError
from code_patterns.params import ReadVariable, choose_flag, choose_seconds, choose_whole_number, chosen

ALL = "all"
COLLECTIONS = ("archon_vectors", "quality_vectors", "code_patterns", "execution_patterns")
"""The collections that ``all`` stands for, as far as they exist."""
DEFAULT_COLLECTION = "archon_vectors"


@dataclass(frozen=True)
class BackfillSettings:
    """How one run behaves.

    :param collections: the collections to read, in this order
    :param only_existing: leave out those that do not exist, as long as one does
    :param limit: most points to look at, all collections together, or ``None`` for all
    :param min_confidence: leave out points below this confidence, 0 to 1
    :param batch_size: points read, scored and stored together
    :param delay_seconds: pause between batches
    :param dry_run: score and report, store nothing
    :param only_missing: leave out what has a score of this version for this content
    """

    collections: tuple[str, ...]
    only_existing: bool
    limit: int | None
    min_confidence: float
    batch_size: int
    delay_seconds: float
    dry_run: bool
    only_missing: bool


def choose(params: Mapping[str, Any], run_type: str, read_variable: ReadVariable) -> BackfillSettings:
    """Choose everything for one run.

    A run that a sync has woken concerns every collection and only what has no score yet, unless its Params say
    otherwise.

    :param params: what the person entered; a missing, ``None`` or blank entry falls back to its Variable
    :param run_type: Airflow's ``dag_run.run_type``
    :param read_variable: reads an Airflow Variable
    :raises ConfigurationError: naming the Param or Variable that makes no sense, and its value
    """
    woken = run_type == "asset_triggered"
    names, only_existing = _collections(params.get("collection"), ALL if woken else DEFAULT_COLLECTION, read_variable)
    only_missing = params.get("only_missing")
    batch_size = choose_whole_number(
        "batch_size", params.get("batch_size"), "quality_backfill_batch_size", 100, read_variable
    )
    return BackfillSettings(
        collections=names,
        only_existing=only_existing,
        limit=choose_whole_number("limit", params.get("limit"), None, None, read_variable),
        min_confidence=_min_confidence(params.get("min_confidence"), read_variable),
        batch_size=batch_size or 100,
        delay_seconds=choose_seconds(
            "delay_seconds", params.get("delay_seconds"), "quality_backfill_delay_seconds", 0.5, read_variable
        ),
        dry_run=choose_flag("dry_run", params.get("dry_run")),
        only_missing=woken if only_missing in (None, "", "None") else choose_flag("only_missing", only_missing),
    )


def _collections(param: Any, default: str, read_variable: ReadVariable) -> tuple[tuple[str, ...], bool]:
    where, value = chosen("collection", param, None, default, read_variable)
    name = value.strip() if isinstance(value, str) else ""
    if not name or "/" in name:
        raise ConfigurationError(f"{where} is {value!r}; it must be the name of a Qdrant collection, or 'all'.")
    if name != ALL:
        return (name,), False
    # Where the sync writes another collection than code_patterns, that one belongs to all of them.
    synced = (read_variable("patterns_collection") or "").strip()
    return tuple(dict.fromkeys([*COLLECTIONS, *([synced] if synced else [])])), True


def _min_confidence(param: Any, read_variable: ReadVariable) -> float:
    where, value = chosen("min_confidence", param, None, 0.0, read_variable)
    try:
        number = float("nan") if isinstance(value, bool) else float(str(value).strip())
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        raise ConfigurationError(f"{where} is {value!r}; it must be a number from 0 to 1.")
    return number
