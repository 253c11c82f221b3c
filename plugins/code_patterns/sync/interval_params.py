"""The interval of a run that a person chooses by two Params."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from code_patterns import params as run_params
from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.sync.sync_settings import Interval
from code_patterns.typed_fields import Moment


@dataclass(frozen=True)
class IntervalParams:
    """The two Params.

    :param interval_start: begin of the interval
    :param interval_end: its end, excluded
    """

    interval_start: Moment | None = None
    interval_end: Moment | None = None


def choose_interval(params: Mapping[str, Any], run_type: str, own: Interval | None) -> Interval | None:
    """Return the interval that a run syncs, or ``None`` for a run without one. The Params beat the run's own interval.

    :param params: the Params; missing or blank ones are not set
    :param run_type: Airflow's ``dag_run.run_type``
    :param own: interval of the run itself, from :func:`code_patterns.sync.sync_settings.interval_of`
    :raises ConfigurationError: they, or the run's own, are no past interval; or the run belongs to a backfill
    """
    chosen = run_params.choose(IntervalParams, params, lambda name: None)
    start, end = chosen.interval_start, chosen.interval_end
    now = datetime.now(UTC)
    if start is None and end is None:
        if own and own.end > now:
            raise ConfigurationError(
                Code.SETTING_WRONG,
                f"The data interval of the run ends at {own.end.isoformat()}, in the future: it is "
                f"{now:%Y-%m-%dT%H:%M:%SZ} now. Trigger a run with an interval that is past, or without one.",
            )
        return own
    if run_type == "backfill":
        raise ConfigurationError(
            Code.SETTING_WRONG,
            "The Params 'interval_start' and 'interval_end' are set in a backfill, whose runs have intervals of their "
            "own. Leave both empty there.",
        )
    if start is None or end is None:
        given, missing = ("interval_start", "interval_end") if start else ("interval_end", "interval_start")
        raise ConfigurationError(
            Code.SETTING_WRONG,
            f"The Param '{given}' is set, '{missing}' is not. Set both to sync an interval, or none of them.",
        )
    if end <= start:
        raise ConfigurationError(
            Code.SETTING_WRONG,
            f"The Param 'interval_end' is {end.isoformat()}, which is not after 'interval_start', "
            f"{start.isoformat()}. Correct one of them.",
        )
    if end > now:
        raise ConfigurationError(
            Code.SETTING_WRONG,
            f"The Param 'interval_end' is {end.isoformat()}, in the future: it is {now:%Y-%m-%dT%H:%M:%SZ} now. Choose "
            "an end that is past.",
        )
    return Interval(start, end)
