"""The app that Airflow's API server mounts at ``/patterns``."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from code_patterns.web import agents, api
from code_patterns.web.problems import problem_of

if TYPE_CHECKING:
    from code_patterns.web.services import Services

PAGE = Path(__file__).parent / "page"


def build_app() -> FastAPI:
    """Build the app. Nothing is connected, and little imported, before the first request."""
    app = FastAPI(title="Code patterns", openapi_url=None, lifespan=_lifespan)
    app.state.services = _Once()
    app.include_router(api.router)
    app.include_router(api.listing)
    app.include_router(agents.router)
    app.mount("/page", _Page(directory=PAGE))
    app.add_exception_handler(HTTPException, _refused)
    return app


class _Once:
    """The services of this process, made by the first request."""

    def __init__(self) -> None:
        self._making = asyncio.Lock()
        self._services: Services | None = None

    async def __call__(self) -> "Services":
        async with self._making:
            if self._services is None:
                # It imports the clients of all servers, which takes a second: other requests go on meanwhile.
                module = await asyncio.to_thread(importlib.import_module, "code_patterns.web.services")
                self._services = module.Services()
            return self._services

    async def close(self) -> None:
        if self._services is not None:
            await self._services.close()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.services.close()


class _Page(StaticFiles):
    """The files of the page, which hold no data. A browser asks each time whether they changed."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        answer = super().file_response(*arguments, **named)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


async def _refused(_: Request, error: Exception) -> Response:
    """Answer for a path or method that does not exist."""
    return problem_of(error)
