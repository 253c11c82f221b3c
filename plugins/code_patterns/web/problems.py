"""Errors as ``application/problem+json`` (RFC 9457): what is wrong, where, and what to do."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from code_patterns.codes import Code
from code_patterns.errors import OutageError, PatternsError

log = logging.getLogger(__name__)

LONGEST_SECONDS = 8.0
"""Longest time that a request may take."""
RETRY_SECONDS = 5
"""When a client may try again after an outage."""


class RefusedError(PatternsError):
    """A request that the API does not answer.

    :param status: HTTP status
    :param message: what is wrong and what is allowed
    :param field: the parameter that is wrong, if it is one
    :param code: what went wrong, for the runbook
    """

    def __init__(self, status: HTTPStatus, message: str, field: str = "", code: Code = Code.REQUEST_WRONG) -> None:
        super().__init__(code, message)
        self.status = status
        self.field = field


def problem(
    status: int,
    detail: str,
    *,
    field: str | None = None,
    code: Code | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Make the answer of a request that failed.

    :param status: HTTP status
    :param detail: what is wrong, for people
    :param field: the parameter that is wrong
    :param code: what went wrong, for the runbook
    :param headers: further headers
    """
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(
        content | ({"field": field} if field else {}) | ({"code": code} if code else {}),
        status,
        {"Cache-Control": "no-store"} | dict(headers or {}),
        "application/problem+json",
    )


def problem_of(error: Exception) -> JSONResponse:
    """Make the answer for an error. What nobody expected is told to the log alone."""
    if isinstance(error, RefusedError):
        return problem(error.status, error.message, field=error.field, code=error.code)
    if isinstance(error, HTTPException):
        headers = {"WWW-Authenticate": "Bearer"} if error.status_code == HTTPStatus.UNAUTHORIZED else {}
        return problem(error.status_code, str(error.detail), headers=headers | dict(error.headers or {}))
    if isinstance(error, TimeoutError):
        return problem(
            HTTPStatus.REQUEST_TIMEOUT,
            f"The answer took longer than the limit of {LONGEST_SECONDS:.0f} s. Search for less, or try again.",
        )
    if isinstance(error, OutageError):
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), code=error.code, headers=headers)
    if isinstance(error, PatternsError):
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error), code=error.code)
    if isinstance(error, ModuleNotFoundError):
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"The API server lacks the Python package '{error.name}'. Install the bundle's requirements.txt there, and "
            "requirements-optional.txt for agents.",
        )
    log.error("A request of the Patterns page failed.", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Unexpected error. The log of the API server says more.")
