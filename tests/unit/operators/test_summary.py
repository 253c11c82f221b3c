"""What a run did, in one line."""

import logging
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from code_patterns.operators.summary import tell


class Refusing:
    """A task instance of an Airflow that stores nothing."""

    def xcom_push(self, key: str, value: Any) -> None:
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 409}))


def test_work_that_is_done_does_not_fail_because_airflow_cannot_store_its_summary(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        tell(cast(Any, {"ti": Refusing()}), "3 new; lag 0 s")
    assert [record.message for record in caplog.records] == [
        "The XCom 'summary' could not be stored: AirflowRuntimeError",
        "3 new; lag 0 s",
    ]
