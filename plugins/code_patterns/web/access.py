"""Who may read the patterns of a target: whoever may read the DAG that syncs them."""

import re
from collections.abc import Iterable
from http import HTTPStatus

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from code_patterns.sync.sync_target import SyncTarget
from code_patterns.web.problems import RefusedError

TARGET = "target"
"""The parameter of the address that names a target, on every route; without it the target without a name is meant."""


def target_of(request: Request) -> str:
    """Return the target that a request is about.

    :raises RefusedError: no target can have this name
    """
    name = request.query_params.get(TARGET, "")
    if name and not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", name):
        raise RefusedError(
            HTTPStatus.NOT_FOUND, "There is no such target. Its name has letters, digits, '_' and '-'.", TARGET
        )
    return name


def may_read(request: Request, user: GetUserDep) -> None:
    """Refuse a user who may not read the target's patterns.

    :raises HTTPException: status 403, or 401 if nobody is logged in
    """
    _require(target_of(request), request, user)


def readable(request: Request, user: GetUserDep, targets: Iterable[str]) -> list[str]:
    """Return those of the targets whose patterns a user may read."""
    found = []
    for target in targets:
        try:
            _require(target, request, user)
        except HTTPException as error:
            if error.status_code != HTTPStatus.FORBIDDEN:
                raise
        else:
            found.append(target)
    return found


def _require(target: str, request: Request, user: GetUserDep) -> None:
    requires_access_dag(method="GET", param_dag_id=SyncTarget(target or None).named("pattern_sync_full"))(request, user)


MAY_READ = Depends(may_read)
"""Airflow puts no authentication before an app of a plugin. Every route that answers with data depends on this."""
