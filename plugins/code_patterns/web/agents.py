"""The server for agents at ``/patterns/mcp``: streamable HTTP behind the authentication of all other routes."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from starlette.types import Message, Scope

from code_patterns.web.access import MAY_READ
from code_patterns.web.route import ProblemRoute, body_of, service_of

if TYPE_CHECKING:
    from mcp.server import MCPServer

router = APIRouter(route_class=ProblemRoute, dependencies=[MAY_READ])


@router.post("/mcp")
async def mcp(request: Request) -> Response:
    """Answer one message of an agent."""
    body = await body_of(request)
    service = await service_of(request)
    module = await asyncio.to_thread(import_module, "code_patterns.mcp.server")
    return await _answer(module.build_server(service), request.scope, body)


async def _answer(server: "MCPServer", scope: Scope, body: bytes) -> Response:
    """Let the protocol's package answer, within the limits of the route.

    Every message stands alone: the processes of an API server know nothing of each other's sessions.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    coming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    answer, parts = Response(), list[bytes]()

    async def receive() -> Message:
        while not coming:
            # Nothing follows a request; whoever waits for its end is cancelled.
            await asyncio.Event().wait()
        return coming.pop()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status_code, answer.raw_headers = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    # The check of host names is for servers without a login: a browser sends Airflow's cookie to its own host only.
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    server.streamable_http_app(stateless_http=True, json_response=True, transport_security=security)
    manager = server.session_manager
    async with manager.run():
        await manager.handle_request(scope, receive, send)
    answer.body = b"".join(parts)
    return answer
