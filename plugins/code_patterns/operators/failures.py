"""How the package's errors end an Airflow task."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from code_patterns.errors import OutageError, PatternsError


@contextmanager
def task_errors() -> Iterator[None]:
    """Fail the task with the error's one sentence; only an outage is worth Airflow's retries."""
    try:
        yield
    except OutageError as error:
        raise AirflowException(str(error)) from None
    except PatternsError as error:
        raise AirflowFailException(str(error)) from None
