"""Dashboard, alert rules and their neighbours name what the code really emits."""

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from shutil import which
from typing import Any

import pytest
import yaml

from code_patterns.web.metrics import GAUGES, PREFIX, ROWS, STAGES, Look, exposition
from tests.conftest import ROOT

MONITORING = ROOT / "include" / "monitoring"
RULES = MONITORING / "prometheus" / "rules" / "code_patterns.yml"
RULES_TEST = ROOT / "tests" / "support" / "alert_rules_test.yml"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "code_patterns.json"
PAGE = ROOT / "docs" / "monitoring.md"


NOW = datetime(2026, 11, 27, tzinfo=UTC)


def exposed() -> str:
    """The metrics of a state in which everything is known."""
    sync = {
        **{"state": "in sync", "behind": 0, "lag_seconds": 0.0, "dead_letters": 1, "stream_is_up": True},
        **{"last_incremental_at": NOW, "last_full_at": NOW, "parity": {"state": "proven", "proven_at": NOW}},
    }
    run = {
        **{"kind": "stream", "status": "succeeded", "runs": 2, "last_at": NOW, "measured_at": NOW, "seconds": 9.0},
        **{"latency_p50": 0.1, "latency_p99": 0.2, "embedded_texts": 3, "embedded_characters": 300},
        **{f"{stage}_seconds": 1.0 for stage in STAGES},
        **dict.fromkeys(ROWS, 1),
    }
    return exposition({"": Look({"name": 'a "name" \\ of\nlines', "points": 5}, sync, [run]), "unreadable": Look()})


def metrics_in(expression: str) -> set[str]:
    return {name.removeprefix(PREFIX) for name in re.findall(rf"\b{PREFIX}\w+", expression)}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    """Those of the dashboard, with the values that Grafana puts in for its variables."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    for variable in dashboard["templating"]["list"]:
        yield variable["query"]["query"]
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def test_every_metric_has_a_sample_when_everything_is_known() -> None:
    samples = [line for line in exposed().splitlines() if not line.startswith("#")]
    assert set().union(*map(metrics_in, samples)) == GAUGES.keys()
    assert f'{PREFIX}points{{collection="a \\"name\\" \\\\ of\\nlines"}} 5' in samples


def test_rules_and_dashboard_name_only_what_is_emitted() -> None:
    for expression in (*(alert["expr"] for alert in alerts()), *expressions()):
        assert metrics_in(expression) <= GAUGES.keys(), expression


def test_whatever_is_emitted_is_in_the_rules_or_on_the_dashboard() -> None:
    used = set().union(*(metrics_in(text) for text in (*(alert["expr"] for alert in alerts()), *expressions())))
    # What these two say, others say better there.
    assert GAUGES.keys() - used == {"parity_proven", "last_run_timestamp_seconds"}


def test_the_page_names_every_metric_and_every_alert() -> None:
    page = PAGE.read_text("utf-8")
    named = set(re.findall(rf"`{PREFIX}(\w+)", page))
    assert named == GAUGES.keys()
    assert re.findall(r"^\| `(PAT-A-\d+)` \| `(\w+)` \|", page, re.MULTILINE) == [
        (alert["labels"]["code"], alert["alert"]) for alert in alerts()
    ]


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    codes = [alert["labels"]["code"] for alert in alerts()]
    assert codes == [f"PAT-A-{number:03}" for number in range(1, len(codes) + 1)]
    for alert in alerts():
        assert alert["annotations"].keys() == {"summary", "action"}
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["for"]


def test_the_dashboard_names_only_alerts_that_exist() -> None:
    codes = {alert["labels"]["code"] for alert in alerts()}
    assert set(re.findall(r"PAT-A-\d+", DASHBOARD.read_text("utf-8"))) <= codes


def test_every_panel_is_narrowed_by_every_variable() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables.keys() == {"collection", "target"}
    # The target without a name has no such label: the values that Grafana knows would leave it out of "All".
    assert variables["target"]["allValue"] == ".*"
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            selectors = re.findall(rf"\b{PREFIX}\w+(\{{[^}}]*\}}|)", target["expr"])
            assert selectors
            assert all(f'{name}=~"${name}"' in selector for selector in selectors for name in variables), target


def test_the_dashboard_reads_the_data_source_that_is_provisioned() -> None:
    sources = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))
    uids = set(re.findall(r'"uid": "(?!code-patterns)([^"]+)"', DASHBOARD.read_text("utf-8")))
    assert uids == {source["uid"] for source in sources["datasources"]}


@pytest.mark.skipif(which("promtool") is None, reason="promtool is missing; on Debian: apt install prometheus")
@pytest.mark.parametrize(
    "arguments", [("check", "rules", str(RULES)), ("test", "rules", str(RULES_TEST))], ids=["check rules", "test rules"]
)
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(which("promtool") is None, reason="promtool is missing; on Debian: apt install prometheus")
def test_promtool_reads_the_configuration() -> None:
    path = MONITORING / "prometheus" / "prometheus.yml"
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(which("promtool") is None, reason="promtool is missing; on Debian: apt install prometheus")
def test_promtool_reads_what_is_emitted() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=exposed(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
