"""A route with a time limit that answers every error as a problem."""

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from code_patterns.web import problems
from code_patterns.web.access import target_of

if TYPE_CHECKING:
    from code_patterns.web.service import Service
    from code_patterns.web.services import Services


LARGEST_BODY = 256 * 1024
"""Bytes of the largest request. 20,000 characters take at most 240,000 as JSON."""


class ProblemRoute(APIRoute):
    """Answers every error, those of authentication too, as a problem, and none later than the limit."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler that FastAPI calls."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                async with asyncio.timeout(problems.LONGEST_SECONDS) as request.state.limit:
                    return await handler(request)
            except Exception as error:
                return problems.problem_of(error)

        return answer


async def service_of(request: Request) -> "Service":
    """Return what answers about the target of a request; see :func:`services_of`.

    :raises RefusedError: there is no such target
    """
    return await (await services_of(request)).of(target_of(request))


async def services_of(request: Request) -> "Services":
    """Return what answers about all targets in this process; the limit counts from then on.

    The first request imports the clients of all servers: that is no fault of the question.
    """
    limit: asyncio.Timeout = request.state.limit
    limit.reschedule(None)
    services: Services = await request.app.state.services()
    limit.reschedule(asyncio.get_running_loop().time() + problems.LONGEST_SECONDS)
    return services


async def body_of(request: Request) -> bytes:
    """Read a request's body.

    :raises RefusedError: it is too large
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise problems.RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request must not be larger than {LARGEST_BODY:,} bytes."
            )
    return body
