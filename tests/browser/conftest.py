"""One API server for everything that is asked of it: starting it takes a good part of the time. And a browser."""

import asyncio
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from code_patterns.servers.qdrant_config import QdrantConfig
from code_patterns.sync.row_filter import RowFilter
from code_patterns.sync.sync_target import SyncTarget
from tests.conftest import config_of, new_database
from tests.support.api_server import ApiServer, api_server
from tests.support.connections import connections_of, targets_file
from tests.support.fixtures import drop_collections
from tests.support.leaks import LEAKS
from tests.support.two_sides import TwoSides, rows

PATIENCE_MILLISECONDS = 60_000
"""Most time that a test waits for one thing to appear; a busy machine needs some."""
expect.set_options(timeout=PATIENCE_MILLISECONDS)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_CODE = 'def attack():\n    return "</pre><script>alert(2)</script>" + "javascript:alert(3)"\n'


@dataclass(frozen=True)
class Installation:
    """An API server beside both sides.

    :param server: the API server
    :param sides: 30 patterns that are synced, one of them hostile; one is parked. The target ``team_a`` has those of Go
    """

    server: ApiServer
    sides: TwoSides


@pytest.fixture(scope="module")
def installation(
    postgres_server: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Both sides, synced and scored, and an API server."""
    folder: Path = tmp_path_factory.mktemp("web")
    url = os.environ.get("PATTERNS_TEST_QDRANT_URL", "")
    qdrant = QdrantConfig(
        conn_id="patterns_qdrant",
        url=url,
        api_key=os.environ.get("PATTERNS_TEST_QDRANT_API_KEY"),
        path="" if url else str(folder / "qdrant"),
    )
    home = folder / "home"
    home.mkdir()
    with new_database(postgres_server, migrated_template) as dsn:
        sides = TwoSides(config_of(dsn), qdrant, f"test_{uuid.uuid4().hex[:12]}")
        new = rows(28)
        for row in new[:5]:
            row["language"] = "go"
        wrap = "def wrap_paragraph(text, width):\n    # Break a paragraph\n" + "    pass\n" * 20
        new += rows(1, 28, pattern_name="wrap_paragraph", pattern_data=json.dumps({"code": wrap}))
        new += rows(1, 29, pattern_name=HOSTILE, file_path="attack.py", pattern_data=json.dumps({"code": HOSTILE_CODE}))
        sides.insert(new + rows(1, 30, pattern_name="parked_one", pattern_data=json.dumps({"code": 5})))
        sides.sync("full")
        of_team = replace(
            sides,
            collection=f"{sides.collection}_a",
            settings={"target": SyncTarget("team_a", RowFilter(languages=("go",)))},
        )
        of_team.sync("full")
        targets = targets_file(
            folder, {"name": "team_a", "collection": of_team.collection, "filters": {"language": "go"}}
        )
        for number, row in enumerate(new):
            sides.execute(
                "INSERT INTO pattern_quality_metrics (pattern_id, quality_score) VALUES (%s, %s)",
                (row["id"], round(0.95 - number / 40, 3)),
            )
        try:
            with api_server(home, {**connections_of(sides), **targets}) as server:
                yield Installation(server, sides)
        finally:
            LEAKS.look_at_folder(home)
            if url:
                asyncio.run(drop_collections(qdrant, sides.collection))


def _browser() -> str | None:
    """The browser that PATTERNS_TEST_BROWSER names, or one that is installed."""
    named = os.environ.get("PATTERNS_TEST_BROWSER")
    if named and not shutil.which(named):
        raise FileNotFoundError(f"PATTERNS_TEST_BROWSER names '{named}', which is not installed.")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="module")
def browser(installation: Installation) -> Iterator[Browser]:
    """A headless Chromium. While it is open, no event loop can be run in this thread."""
    path = _browser()
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=shutil.which(path), args=["--no-sandbox"])
        yield opened
        opened.close()


def log_in(browser: Browser, server: ApiServer, user: str, **options: object) -> Page:
    """A page of a user who is logged in; it fails on errors of the page's own, and on dialogs."""
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900}, **options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    context.add_cookies([{"name": "_token", "value": server.token(user), "url": server.url}])
    return context.new_page()


@pytest.fixture(scope="module")
def admins(browser: Browser, installation: Installation) -> Iterator[Page]:
    """A page of the administrator; loading Airflow's UI takes longer than moving in it."""
    page = log_in(browser, installation.server, "admin")
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    yield page
    assert wrong == []
    page.context.close()
