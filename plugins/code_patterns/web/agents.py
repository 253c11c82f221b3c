"""The server for agents at ``/patterns/mcp``: streamable HTTP behind the authentication of all other routes."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from code_patterns.web.access import MAY_READ
from code_patterns.web.route import ProblemRoute, service_of

if TYPE_CHECKING:
    from mcp.server import MCPServer

router = APIRouter(route_class=ProblemRoute, dependencies=[MAY_READ])


@router.post("/mcp")
async def mcp(request: Request) -> Response:
    """Answer one message of an agent."""
    service = await service_of(request)
    module = await asyncio.to_thread(import_module, "code_patterns.mcp.server")
    return _Delegated(module.build_server(service))


class _Delegated(Response):
    """Lets the protocol's package read the request and answer it.

    Every message stands alone: the processes of an API server know nothing of each other's sessions.
    """

    def __init__(self, server: "MCPServer") -> None:
        super().__init__()
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        from mcp.server.transport_security import TransportSecuritySettings

        # The check of host names is for servers without a login: a browser sends Airflow's cookie to its own host only.
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._server.streamable_http_app(stateless_http=True, json_response=True, transport_security=security)
        manager = self._server.session_manager
        async with manager.run():
            await manager.handle_request(scope, receive, send)
