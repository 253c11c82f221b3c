"""What failed to answer is told from what does not exist."""

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import supervisor, task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable, VariableResult
from airflow.sdk.execution_time.secrets import ExecutionAPISecretsBackend

from code_patterns.errors import OutageError
from code_patterns.hooks.airflow_connection import find_connection
from code_patterns.hooks.secrets_backends import read_variable
from tests.support.leaks import secret

TOKEN = secret("token")


class Vault:
    """A secrets backend of a user."""

    def __init__(self, *, is_up: bool = True, **known: str) -> None:
        self.is_up = is_up
        self.known = known

    def get_variable(self, key: str) -> str | None:
        if not self.is_up:
            raise ConnectionError(f"no answer to {TOKEN}")
        return self.known.get(key)

    def get_connection(self, conn_id: str) -> None:
        self.get_variable(conn_id)


class Comms:
    """Answers as the supervisor of a task does."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, message: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def ask(monkeypatch: pytest.MonkeyPatch, *backends: Any, api_server: Any = None) -> None:
    monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda: list(backends))
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Comms(api_server), raising=False)


def test_the_first_backend_that_has_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, Vault(is_up=False), Vault(a="first"), Vault(a="second"))
    assert read_variable("a") == "first"
    ask(monkeypatch, Vault(), ExecutionAPISecretsBackend(), api_server=VariableResult(key="a", value="of Airflow"))
    assert read_variable("a") == "of Airflow"


def test_what_nobody_has_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    backends = Vault(), ExecutionAPISecretsBackend()
    ask(monkeypatch, *backends, api_server=ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND))
    assert read_variable("a") is None
    ask(monkeypatch, *backends, api_server=ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND))
    assert find_connection("nowhere") is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500})),
            "ExecutionAPISecretsBackend was answered 500 by the API server",
        ),
        (
            AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": None})),
            "ExecutionAPISecretsBackend was answered API_SERVER_ERROR",
        ),
    ],
    ids=["500", "network"],
)
def test_an_api_server_that_fails(monkeypatch: pytest.MonkeyPatch, answer: Any, reason: str) -> None:
    ask(monkeypatch, Vault(), ExecutionAPISecretsBackend(), api_server=answer)
    with pytest.raises(OutageError, match=f"the Variable 'a': {reason}"):
        read_variable("a")
    with pytest.raises(OutageError, match=f"the connection 'a': {reason}"):
        find_connection("a")


def test_a_backend_that_fails_is_named_without_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, Vault(is_up=False), Vault())
    with pytest.raises(OutageError, match=r"Vault failed \(ConnectionError\)") as caught:
        read_variable("a")
    assert TOKEN not in str(caught.value)
    with pytest.raises(OutageError, match=r"the connection 'a': Vault failed"):
        find_connection("a")


def test_a_connection_that_is_there_at_the_second_look_is_not_taken_for_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, ExecutionAPISecretsBackend(), api_server=GetVariable(key="anything"))
    with pytest.raises(OutageError, match="the first answer failed"):
        find_connection("a")
