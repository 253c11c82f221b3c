"""What Airflow's processes pay for the plugin, and what the page must not contain."""

import re
import subprocess
import sys

from airflow.api_fastapi.core_api.security import get_user
from fastapi import HTTPException
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from code_patterns.web.access import MAY_READ
from code_patterns.web.app import PAGE, build_app
from code_patterns.web.route import ProblemRoute
from tests.conftest import ROOT

MOST_BYTES = 30_000
PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT / "plugins")!r})
import airflow.plugins_manager
before = set(sys.modules)
import patterns_ui
plugin = patterns_ui.PatternsUiPlugin()
print(sorted(name for name in sys.modules.keys() - before if name.startswith(("code_patterns", "fastapi"))))
[app] = plugin.fastapi_apps
print(app["url_prefix"], plugin.fastapi_apps[0]["app"] is app["app"])
print(sorted(sys.modules.keys() & {{"qdrant_client", "psycopg", "asyncpg", "numpy", "mcp"}} - before))
"""


def test_the_plugin_imports_nothing_when_it_is_loaded_and_no_client_when_the_api_server_starts() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == ["[]", "/patterns True", "[]"]


def test_without_the_package_the_page_is_off_and_the_api_server_starts() -> None:
    program = (
        "import sys; sys.path.append(sys.argv[1])\nimport importlib.util as found\nreal = found.find_spec\n"
        "found.find_spec = lambda name, *rest: None if name == 'code_patterns' else real(name, *rest)\n"
        "import patterns_ui\nprint(patterns_ui.PatternsUiPlugin().fastapi_apps)"
    )
    command = [sys.executable, "-c", program, str(ROOT / "plugins")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_every_route_answers_problems_and_asks_who_may_read() -> None:
    routes = [route for route in build_app().routes if isinstance(route, APIRoute)]
    assert len(routes) == 11
    for route in routes:
        assert isinstance(route, ProblemRoute)
        # That one answers with what the user may read.
        wanted = get_user if route.path == "/api/targets" else MAY_READ.dependency
        assert wanted in [dependency.call for dependency in route.dependant.dependencies], route.path


def test_nothing_is_opened_for_somebody_who_may_not_read() -> None:
    def refuse() -> None:
        raise HTTPException(401, "Who are you?")

    async def opened() -> None:
        raise AssertionError("the clients of the servers were imported")

    app = build_app()
    app.dependency_overrides[MAY_READ.dependency] = refuse
    app.state.services = opened
    client = TestClient(app)
    answers = [client.get("/api/search", params={"q": "x"}), client.post("/api/search"), client.post("/mcp")]
    assert [answer.status_code for answer in answers] == [401, 401, 401]


def test_the_page_is_small_and_makes_no_markup_of_text() -> None:
    files = sorted(PAGE.glob("*.js"))
    assert {path.suffix for path in PAGE.iterdir()} == {".js"}
    text = "\n".join(path.read_text("utf-8") for path in files)
    assert 0 < len(text.encode()) <= MOST_BYTES
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|dangerously|eval\(|new Function", text)
    assert not re.search(r"https?://", text)
