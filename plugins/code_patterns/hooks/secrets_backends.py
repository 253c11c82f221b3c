"""Ask everything that may hold a connection or a Variable, and notice what gave no answer.

Airflow takes an API server or a secrets backend that fails for one that holds nothing. A Variable would then be its
default, such as another collection, and a connection would not be defined.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import supervisor, task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection, GetVariable
from airflow.sdk.execution_time.secrets import ExecutionAPISecretsBackend

from code_patterns.codes import Code
from code_patterns.errors import OutageError

Found = TypeVar("Found")


def read_variable(name: str) -> str | None:
    """Return the text of an Airflow Variable, or ``None`` if there is none.

    :raises OutageError: nothing that answered has it, and something did not answer
    """
    return _first_found(
        f"the Variable '{name}'",
        lambda backend: backend.get_variable(key=name),
        lambda: getattr(_of_api_server(GetVariable(key=name), ErrorType.VARIABLE_NOT_FOUND), "value", None),
    )


def refuse_silence(conn_id: str) -> None:
    """Make sure that a connection which Airflow has not found is really not defined.

    :raises OutageError: something did not answer when it was asked, or has answered only now
    """
    what = f"the connection '{conn_id}'"
    found = _first_found(
        what,
        lambda backend: backend.get_connection(conn_id=conn_id),
        lambda: _of_api_server(GetConnection(conn_id=conn_id), ErrorType.CONNECTION_NOT_FOUND),
    )
    if found is not None:
        raise _silence(what, "the first answer failed")


def _first_found(what: str, ask: Callable[[Any], Found | None], ask_api_server: Callable[[], Any]) -> Found | None:
    """Ask each backend in Airflow's order until one has it."""
    silent = ""
    for backend in supervisor.ensure_secrets_backend_loaded():
        try:
            # This one does not tell a failure from "there is none".
            asks_server = isinstance(backend, ExecutionAPISecretsBackend)
            found: Found | None = ask_api_server() if asks_server else ask(backend)
        # Each backend raises what its own client raises.
        except Exception as error:
            silent = silent or f"{type(backend).__name__} {_reason(error)}"
        else:
            if found is not None:
                return found
    if silent:
        raise _silence(what, silent)
    return None


def _of_api_server(request: GetVariable | GetConnection, absent: ErrorType) -> Any:
    answer = task_runner.SUPERVISOR_COMMS.send(request)
    if not isinstance(answer, ErrorResponse):
        return answer
    if answer.error is absent:
        return None
    raise AirflowRuntimeError(answer)


def _reason(error: Exception) -> str:
    """Why there was no answer; the error's own text may hold a token."""
    if isinstance(error, AirflowRuntimeError):
        status = (error.error.detail or {}).get("status_code")
        return f"was answered {status} by the API server" if status else f"was answered {error.error.error.value}"
    return f"failed ({type(error).__name__})"


def _silence(what: str, reason: str) -> OutageError:
    return OutageError(
        Code.AIRFLOW_AWAY,
        f"Airflow could not say whether there is {what}: {reason}. To go on without it could be wrong, so nothing was "
        "done. Look at the log of the API server, or of the secrets backend.",
    )
