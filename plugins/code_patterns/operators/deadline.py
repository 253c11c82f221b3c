"""The alert for a run that is not done in time."""

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from patterns_deadline import RunQueuedAt

log = logging.getLogger(__name__)

VARIABLE = "PATTERNS_HOURLY_DEADLINE_MINUTES"


def deadline_alert(minutes: str | None) -> DeadlineAlert | None:
    """Make an alert for a run that is not done this many minutes after it was queued; ``None`` without a number.

    :param minutes: value of the environment variable ``PATTERNS_HOURLY_DEADLINE_MINUTES``
    :raises ConfigurationError: it is not a positive number
    """
    if not minutes:
        return None
    try:
        interval = timedelta(minutes=float(minutes))
    except (ValueError, OverflowError):
        interval = timedelta(0)
    if interval <= timedelta(0):
        raise ConfigurationError(
            Code.SETTING_WRONG,
            f"The environment variable {VARIABLE} is {minutes!r}; it must be a positive number of minutes.",
        )
    # By name: the triggerer runs it, and has this package but not the DAG files.
    callback = AsyncCallback(f"{__name__}.{report_missed_deadline.__name__}")
    return DeadlineAlert(reference=RunQueuedAt(), interval=interval, callback=callback)


async def report_missed_deadline(context: dict[str, Any]) -> str:
    """Log in the triggerer which run is late and where to look; Airflow counts the miss in its metrics.

    :param context: the run and its deadline, from Airflow
    """
    run = context["dag_run"]
    message = (
        f"{run['dag_id']} was not done in time: run {run['dag_run_id']}, {run['state']}, was due by "
        f"{context['deadline']['deadline_time']}. Its task log says what it does or waits for: another run on the same "
        "collection, a free slot of its pool, or a slow embedding server."
    )
    log.error(message)
    return message
