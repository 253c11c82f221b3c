"""What a run did, in one line."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def tell(context: "Context", summary: str) -> None:
    """Make it the log's last line and the XCom ``summary``, because a task cannot write the run's note.

    The work is done: that Airflow cannot store the XCom does not fail it.
    """
    # There is no task instance if an operator is called without Airflow.
    if instance := context.get("ti"):
        try:
            instance.xcom_push("summary", summary)
        # A busy API server answers too late, and refuses the XCom when the SDK sends it again.
        except Exception as error:
            log.warning("The XCom 'summary' could not be stored: %s", type(error).__name__)
    log.info("%s", summary)
