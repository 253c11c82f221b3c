"""How the package's errors end an Airflow task."""

import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from code_patterns.errors import NothingToDoError, PatternsError
from code_patterns.operators.failure import Failure
from code_patterns.sync.sync_target import WITHOUT_NAME, SyncTarget

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


@contextmanager
def task_errors(context: "Context", target: SyncTarget = WITHOUT_NAME) -> Iterator[None]:
    """Fail the task with the error's message, and let Airflow retry only if that can help.

    The message is logged in short lines first, because the log page cuts what is wider than the window. It also goes to
    the XCom ``failure``, because a task cannot write its note, and into ``exception.__notes__`` for failure callbacks.

    :param target: whose task it is; the message names the DAGs of that one
    """
    try:
        with target.errors():
            yield
    except NothingToDoError as error:
        raise AirflowSkipException(str(error)) from None
    except PatternsError as error:
        # There is no task instance if an operator is called without Airflow.
        instance = context.get("ti")
        tries = (instance.try_number, instance.max_tries) if instance else (1, 0)
        failure = Failure.of(error, *tries)
        for line in failure.lines():
            log.error("%s", line)
        if instance:
            # The person must see this error, not the one of storing it.
            with contextlib.suppress(Exception):
                instance.xcom_push("failure", failure.text())
        again = error.may_be_retried(instance.try_number if instance else 1)
        said = f"{failure.said} {failure.tries} [{failure.code}]" if again else f"{failure.said} [{failure.code}]"
        raised = AirflowException(said) if again else AirflowFailException(said)
        raised.add_note(failure.text())
        raise raised from None
