"""What Airflow's API server serves: who may read, agents over HTTP, and the page in a browser."""

import asyncio
import json
import re
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import HOSTILE, HOSTILE_CODE, Installation, log_in
from tests.support.who_may_read import check_targets, check_who_may_read


def test_every_route_wants_a_user_who_may_read_the_dag(installation: Installation) -> None:
    server = installation.server
    check_who_may_read(server, may=["viewer"], may_not=["nobody"])
    check_targets(server, viewer=["", "team_a"], nobody=[])
    with server.client(None) as anyone, server.client("viewer") as viewer:
        forged = anyone.get("/patterns/api/status", headers={"Authorization": "Bearer forged"})
        assert forged.status_code == 403
        cookie = anyone.get("/patterns/api/status", headers={"Cookie": f"_token={server.token('viewer')}"})
        assert cookie.status_code == 200
        for path in ("openapi.json", "docs", "redoc"):
            assert viewer.get(f"/patterns/{path}").status_code == 404
        page = anyone.get("/patterns/page/patterns.js")
        assert page.status_code == 200
        assert page.headers["Content-Type"].startswith("text/javascript")
        assert page.headers["Cache-Control"] == "no-cache"


def test_agents_ask_over_http(installation: Installation) -> None:
    async def ask() -> tuple[list[str], Any, Any]:
        headers = {"Authorization": f"Bearer {installation.server.token('viewer')}"}
        async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http:
            transport = streamable_http_client(f"{installation.server.url}/patterns/mcp", http_client=http)
            async with Client(transport) as client:
                tools = [tool.name for tool in (await client.list_tools()).tools]
                found = await client.call_tool("search_patterns", {"text": "wrap a paragraph", "limit": 1})
                wrong = await client.call_tool("get_pattern", {"pattern": "none"})
                return tools, found, wrong

    tools, found, wrong = asyncio.run(ask())
    assert tools == ["search_patterns", "similar_patterns", "get_pattern"]
    assert [hit["pattern_name"] for hit in found.structured_content["hits"]] == ["wrap_paragraph"]
    assert wrong.is_error
    assert "There is no pattern 'none'" in wrong.content[0].text


def opened(page: Page, query: str = "") -> Page:
    page.goto(f"/plugin/patterns{query}")
    expect(page.get_by_role("tab", name="Search")).to_be_visible()
    # Airflow mounts the page twice, and what is typed before is lost.
    expect(page.get_by_role("main", name="Code patterns")).to_have_attribute("aria-busy", "false")
    page.wait_for_load_state("networkidle")
    return page


def results(page: Page) -> Any:
    return page.get_by_role("region", name="Results")


def test_a_search_stands_in_the_address(admins: Page) -> None:
    page = opened(admins)
    expect(results(page)).to_contain_text("Search for what a pattern does")
    box = page.get_by_role("textbox", name="Search for words")
    box.fill("wrap a paragraph")
    box.press("Enter")
    expect(page).to_have_url(re.compile(r"\?q=wrap\+a\+paragraph$"))
    first = results(page).get_by_role("article").first
    expect(first.get_by_role("heading")).to_have_text("wrap_paragraph")
    expect(first.locator("mark").first).to_have_text("wrap_paragraph")
    expect(first).to_contain_text(re.compile(r"words \d"))
    expect(first).to_contain_text("poor 0.25")
    expect(box).to_be_focused()
    first.get_by_role("button", name="Show all 23 lines").click()
    expect(first.get_by_role("button")).to_have_count(0)

    page.reload()
    expect(results(page).get_by_role("article").first.get_by_role("heading")).to_have_text("wrap_paragraph")
    expect(page.get_by_role("textbox", name="Search for words")).to_have_value("wrap a paragraph")

    results(page).get_by_role("link", name="Similar to wrap_paragraph").click()
    expect(page).to_have_url(re.compile("similar_to="))
    expect(results(page)).to_contain_text("by similar")
    expect(results(page)).to_be_focused()
    expect(page.get_by_role("textbox", name="Search for words")).to_have_value("")
    page.go_back()
    expect(page.get_by_role("textbox", name="Search for words")).to_have_value("wrap a paragraph")


def test_filters_and_nothing_found(admins: Page) -> None:
    page = opened(admins, "?language=go")
    expect(results(page).get_by_role("article")).to_have_count(5)
    expect(page.get_by_label("Language")).to_have_value("go")
    page.get_by_label("Language").fill("cobol")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(results(page)).to_contain_text("Nothing was found")
    page.get_by_label("Language").fill("")
    page.get_by_label("Quality at least").fill("0.9")
    page.get_by_label("Quality at least").press("Enter")
    expect(results(page).get_by_role("article")).to_have_count(3)
    page.get_by_label("Quality at least").fill("0.1")
    page.get_by_label("Quality at least").press("Enter")
    expect(results(page)).to_contain_text("Hits 1 to 10")
    results(page).get_by_role("link", name="Next", exact=True).click()
    expect(results(page)).to_contain_text("Hits 11 to 20")


def test_hostile_text_is_text(admins: Page) -> None:
    page = opened(admins, "?q=attack")
    hit = results(page).get_by_role("article").filter(has_text="attack.py")
    expect(hit.get_by_role("heading")).to_have_text(HOSTILE)
    expect(hit.get_by_label("Code")).to_have_text(HOSTILE_CODE)
    assert page.locator("main img, main script").count() == 0


def test_code_that_is_too_long_for_an_address_is_posted(admins: Page) -> None:
    page = opened(admins)
    box = page.get_by_role("textbox", name="Search for words")
    box.fill("def wrap_paragraph(text):\n" + "    text = text\n" * 150)
    with page.expect_request("**/patterns/api/search*") as asked:
        box.press("Enter")
    assert asked.value.method == "POST"
    expect(results(page).get_by_role("article").first).to_be_visible()


def test_a_server_that_is_busy_or_slow(admins: Page) -> None:
    page = opened(admins)
    path = "**/patterns/api/search*"
    said = {"status": 503, "detail": "The embedded Qdrant storage was in use."}
    page.route(
        path, lambda route: route.fulfill(status=503, body=json.dumps(said), content_type="application/problem+json")
    )
    box = page.get_by_role("textbox", name="Search for words")
    box.fill("wrap")
    box.press("Enter")
    alert = page.get_by_role("alert").filter(has_text="Busy or down")
    expect(alert).to_contain_text("storage was in use")
    waiting: list[Any] = []
    page.unroute(path)
    page.route(path, lambda route: waiting.append(route))
    alert.get_by_role("button", name="Try again").click()
    expect(results(page).get_by_role("status")).to_have_text("Searching …")
    waiting.pop().continue_()
    expect(results(page).get_by_role("article").first).to_be_visible()
    page.unroute(path)
    page.route(path, lambda route: route.fulfill(status=401, json={"detail": "Not authenticated"}))
    box.fill("another")
    box.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="You are not logged in")).to_be_visible()
    page.unroute(path)


def test_the_status_and_a_retry_with_the_rights_of_the_user(
    admins: Page, browser: Browser, installation: Installation
) -> None:
    runs = "/api/v2/dags/pattern_sync_incremental/dagRuns"
    viewers = log_in(browser, installation.server, "viewer")
    opened(viewers, "?view=status").get_by_role("button", name="Retry all now").click()
    expect(viewers.get_by_role("alert").filter(has_text="may not trigger")).to_be_visible()
    viewers.context.close()

    page = opened(admins, "?view=status")
    for name, value in {"Sync": "in sync", "Parity": "proven", "Parked rows": "1", "Stream": "off"}.items():
        tile = page.locator("dl > div").filter(has=page.get_by_text(name, exact=True))
        expect(tile.locator("dd").first).to_have_text(value)
    parked = page.get_by_role("region", name="Parked rows").get_by_role("row").nth(1)
    expect(parked).to_contain_text("parked_one")
    expect(parked).to_contain_text("must be a text")
    expect(page.get_by_role("region", name="Last runs").get_by_role("row").nth(1)).to_contain_text("succeeded")
    page.get_by_role("button", name="Retry all now").click()
    expect(page.get_by_text("it waits because pattern_sync_incremental is paused")).to_be_visible()
    with installation.server.client("admin") as client:
        [run] = client.get(runs).json()["dag_runs"]
    assert run["conf"] == {"retry_dead_letters": True}
    page.get_by_role("link", name="The run is queued").click()
    expect(page).to_have_url(re.compile("/dags/pattern_sync_incremental/runs/manual__"))


def test_quality_leads_to_the_search(admins: Page) -> None:
    page = opened(admins, "?view=quality")
    expect(page.get_by_role("img", name="excellent: 3 of 30")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("go: .*excellent"))).to_be_visible()
    best = page.get_by_role("region", name="Best patterns").get_by_role("row").nth(1)
    expect(best).to_contain_text("excellent 0.95")
    page.get_by_role("link", name="good", exact=True).click()
    expect(page).to_have_url(re.compile(r"\?min_quality=0.7$"))
    expect(results(page).get_by_role("article").first).to_be_visible()
    page.go_back()
    page.get_by_role("region", name="Worst patterns").get_by_role("link").first.click()
    expect(results(page).get_by_role("heading")).to_have_text(HOSTILE)


def test_a_target_is_chosen_and_stays(admins: Page, installation: Installation) -> None:
    page = opened(admins, "?view=status")
    choice = page.get_by_role("combobox", name="Target")
    expect(choice).to_have_value("")
    tile = page.locator("dl > div").filter(has=page.get_by_text("Names", exact=True)).locator("dd").first
    expect(tile).to_have_text(installation.sides.collection)
    choice.select_option("team_a")
    expect(page).to_have_url(re.compile(r"view=status&target=team_a$"))
    expect(tile).to_have_text(f"{installation.sides.collection}_a")

    page.get_by_role("tab", name="Search").click()
    expect(page).to_have_url(re.compile(r"\?target=team_a$"))
    page.get_by_text("Filters").click()
    page.get_by_label("Path begins with").fill("")
    page.get_by_label("Language").fill("go")
    page.get_by_label("Language").press("Enter")
    expect(results(page).get_by_role("article")).to_have_count(5)
    results(page).get_by_role("link", name="Similar").first.click()
    expect(page).to_have_url(re.compile("similar_to=.*target=team_a$"))
    expect(results(page).get_by_role("article")).to_have_count(4)
    page.reload()
    expect(results(page).get_by_role("article")).to_have_count(4)
    expect(choice).to_have_value("team_a")
    page.get_by_role("tab", name="Quality").click()
    expect(page.get_by_text("5 of 5 scored")).to_be_visible()
    choice.select_option("")
    expect(page.get_by_text("30 of 31 scored")).to_be_visible()


def test_the_keyboard_reaches_everything(admins: Page) -> None:
    page = opened(admins)
    page.get_by_role("tab", name="Search").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Status")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("view=status"))
    expect(page.get_by_role("tab", name="Status")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel", name="Status")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_telephone_in_both_themes(browser: Browser, installation: Installation, dark: bool) -> None:
    page = log_in(browser, installation.server, "viewer", color_scheme="dark" if dark else "light")
    page.set_viewport_size({"width": 400, "height": 850})
    opened(page, "?q=attack")
    expect(results(page).get_by_role("article").first).to_be_visible()
    for view in ("search", "status", "quality"):
        page.get_by_role("tab", name=view.title()).click()
        expect(page.get_by_role("heading").first).to_be_visible() if view != "search" else None
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    page.context.close()
