"""What a run did, in one line."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def tell(context: "Context", summary: str) -> None:
    """Make it the log's last line and the XCom ``summary``, because a task cannot write the run's note."""
    log.info("%s", summary)
    # There is no task instance if an operator is called without Airflow.
    if instance := context.get("ti"):
        instance.xcom_push("summary", summary)
