"""Who may ask the routes of the Patterns page, whatever auth manager the API server has."""

from collections.abc import Iterable, Sequence

from tests.support.api_server import ApiServer

ROUTES = [
    ("GET", "api/search?q=x", 200),
    ("POST", "api/search", 200),
    ("GET", "api/patterns/none", 404),
    ("GET", "api/patterns/none/similar", 404),
    ("GET", "api/status", 200),
    ("GET", "api/failures", 200),
    ("GET", "api/runs", 200),
    ("GET", "api/quality", 200),
    ("GET", "api/metrics", 200),
    ("POST", "mcp", 200),
]
"""Every route that answers with data, and its answer to those who may read: there is no pattern 'none'."""
_MCP = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}},
}


def check_targets(server: ApiServer, **readable: Sequence[str]) -> None:
    """Ask which targets a user may read, and for the status of each.

    :param readable: of each user, the targets; empty is the one without a name
    """
    for user, targets in readable.items():
        with server.client(user) as client:
            assert client.get("/patterns/api/targets").json() == {"targets": list(targets)}
            for target in ("", "team_a"):
                answer = client.get("/patterns/api/status", params={"target": target})
                assert answer.status_code == (200 if target in targets else 403), (user, target)


def check_who_may_read(server: ApiServer, may: Iterable[str], may_not: Iterable[str]) -> None:
    """Ask every route as users who may read the DAG ``pattern_sync_full``, as users who may not, and as nobody."""
    expected = {None: 401} | dict.fromkeys(may_not, 403) | dict.fromkeys(may)
    for user, refused in expected.items():
        with server.client(user) as client:
            for method, path, answered in ROUTES:
                accept = {"Accept": "application/json, text/event-stream"}
                content = None if method == "GET" else _MCP if path == "mcp" else {"q": "x"}
                answer = client.request(method, f"/patterns/{path}", json=content, headers=accept)
                status = refused or answered
                assert answer.status_code == status, (user, path, answer.text)
                if status >= 400:
                    assert answer.json()["status"] == status, (user, path)
                    assert answer.headers["Content-Type"] == "application/problem+json"
                if status == 401:
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
