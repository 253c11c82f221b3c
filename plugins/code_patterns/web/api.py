"""The routes below ``/patterns/api``: what a request says, and how the answer is sent.

Nothing heavy is imported here: the API server imports this when it starts.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Request, Response

from code_patterns.web.access import MAY_READ, TARGET, readable, target_of
from code_patterns.web.metrics import CONTENT_TYPE
from code_patterns.web.problems import RefusedError
from code_patterns.web.route import ProblemRoute, body_of, service_of, services_of

MOST_RUNS = 100
MOST_FAILURES = 500
FURTHEST_OFFSET = 100_000

router = APIRouter(prefix="/api", route_class=ProblemRoute, dependencies=[MAY_READ])
listing = APIRouter(prefix="/api", route_class=ProblemRoute)
"""Routes that see to it themselves that a user gets only what he may read."""


@listing.get("/targets")
async def targets(request: Request, user: GetUserDep) -> Response:
    """Return the names of the targets that the user may read; the empty name is that of the target without one."""
    _refuse_unknown(request.query_params, TARGET)
    names = await (await services_of(request)).targets()
    return _json({"targets": await asyncio.to_thread(readable, request, user, names)})


@router.get("/search")
async def search_by_url(request: Request) -> Response:
    """Search by the fields of the URL."""
    return _json(await (await service_of(request)).search(_fields(_without_target(request.query_params))))


@router.post("/search")
async def search_by_body(request: Request) -> Response:
    """Search by the fields of a JSON object, for code."""
    _refuse_unknown(request.query_params, TARGET)
    return _json(await (await service_of(request)).search(_fields(_object(await body_of(request)))))


@router.get("/patterns/{pattern:path}/similar")
async def similar(request: Request, pattern: str) -> Response:
    """Find what is similar to a pattern."""
    if not request.scope.get("raw_path", b"/similar").endswith(b"/similar"):
        # The slash is part of the pattern's own name.
        return await get(request, f"{pattern}/similar")
    fields = _fields(_without_target(request.query_params)) | {"similar_to": pattern, "mode": "similar"}
    return _json(await (await service_of(request)).search(fields))


@router.get("/patterns/{pattern:path}")
async def get(request: Request, pattern: str) -> Response:
    """Return one pattern, by its uuid or ``pattern_id``."""
    _refuse_unknown(request.query_params, TARGET)
    return _json(await (await service_of(request)).get(pattern))


@router.get("/status")
async def status(request: Request) -> Response:
    """Return how far the collection is, and what it is."""
    _refuse_unknown(request.query_params, TARGET)
    return _json(await (await service_of(request)).status())


@router.get("/failures")
async def failures(request: Request) -> Response:
    """Return the dead letters."""
    limit, offset = _page(request, MOST_FAILURES)
    return _json(await (await service_of(request)).failures(limit, offset))


@router.get("/runs")
async def runs(request: Request) -> Response:
    """Return the newest runs of the sync."""
    limit, offset = _page(request, MOST_RUNS, "kind")
    return _json(await (await service_of(request)).runs(limit, offset, request.query_params.get("kind") or None))


@router.get("/quality")
async def quality(request: Request) -> Response:
    """Return the scores by tier and language, the best and the worst patterns, and what past runs scored."""
    _refuse_unknown(request.query_params, TARGET)
    return _json(await (await service_of(request)).quality())


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Return the metrics of all targets, or of one, for Prometheus. They name collections, but hold no code."""
    _refuse_unknown(request.query_params, TARGET)
    found = await (await services_of(request)).metrics(target_of(request))
    return Response(found, media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def _json(content: Any) -> Response:
    return Response(
        orjson.dumps(content, default=str), media_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a query; ``q`` is the text."""
    if "q" in given and "text" in given:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "'q' and 'text' are the same field. Send one of them.", "q")
    if TARGET in given:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, f"The target stands in the address, as '?{TARGET}=NAME'. Move it there.", TARGET
        )
    return {"text" if name == "q" else name: value for name, value in given.items()}


def _without_target(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name != TARGET}


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RefusedError(HTTPStatus.BAD_REQUEST, 'The request must be a JSON object such as {"q": "parse a date"}.')
    return found


def _page(request: Request, most: int, *others: str) -> tuple[int, int]:
    """Return ``limit`` and ``offset``; the default limit is 20."""
    given = request.query_params
    _refuse_unknown(given, "limit", "offset", *others, TARGET)
    return _number(given, "limit", 20, 1, most), _number(given, "offset", 0, 0, FURTHEST_OFFSET)


def _refuse_unknown(given: Mapping[str, str], *known: str) -> None:
    """Refuse parameters that a route does not have, so that a misspelt one is not taken for none."""
    if unknown := given.keys() - set(known):
        told = f"Known are {', '.join(known)}." if known else "It takes none."
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"There is no parameter '{min(unknown)}' here. {told}", min(unknown))


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name) or str(default)
    # int() also takes underscores, blanks, and digits of other scripts.
    if text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most:
        return int(text)
    raise RefusedError(
        HTTPStatus.BAD_REQUEST, f"The parameter '{name}' must be a whole number from {least} to {most:,}.", name
    )
