"""How the package's errors end an Airflow task."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from code_patterns.errors import NothingToDoError, PatternsError


@contextmanager
def task_errors() -> Iterator[None]:
    """Fail the task with the error's own message, and let Airflow retry only where that can help."""
    try:
        yield
    except NothingToDoError as error:
        raise AirflowSkipException(str(error)) from None
    except PatternsError as error:
        failure = AirflowException if error.retryable else AirflowFailException
        raise failure(str(error)) from None
