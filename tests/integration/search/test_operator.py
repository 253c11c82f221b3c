"""Searches in a DAG, and by the retriever that the docs show."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from code_patterns.operators.search import PatternSearchOperator, search_patterns
from tests.conftest import ROOT
from tests.integration.search.conftest import score
from tests.support.connections import connections_of, targets_file
from tests.support.two_sides import TwoSides


@pytest.fixture
def configured(three: TwoSides, monkeypatch: pytest.MonkeyPatch) -> TwoSides:
    for name, value in connections_of(three).items():
        monkeypatch.setenv(name, value)
    return three


def test_a_task_gets_hits_as_dicts(configured: TwoSides) -> None:
    [(node_id,)] = configured.execute("SELECT id FROM pattern_lineage_nodes WHERE pattern_id = 'parse_header'")
    score(configured, {"id": node_id}, 0.8, 0.5)
    operator = PatternSearchOperator(
        task_id="find",
        text="parse the {{ params.what }}",
        query={"language": "{{ params.language }}", "path_prefix": "None", "min_quality": "0.7", "limit": "1"},
    )
    operator.render_template_fields({"params": {"what": "headers", "language": "python"}})  # type: ignore[typeddict-item]
    [hit] = operator.execute({})
    assert (hit["id"], hit["pattern_name"], hit["quality_tier"]) == (str(node_id), "parse_header", "good")
    assert hit["matched_words"][0] == "parse_header"
    assert search_patterns("parse headers", language="python")[0]["id"] == str(node_id)


def test_a_task_searches_the_collection_of_a_target(
    configured: TwoSides, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in targets_file(tmp_path, {"name": "team_a", "collection": configured.collection}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_VAR_PATTERNS_COLLECTION", "another")
    operator = PatternSearchOperator(task_id="find", text="parse headers", target="{{ params.team }}")
    operator.render_template_fields({"params": {"team": "team_a"}})  # type: ignore[typeddict-item]
    assert operator.execute({})[0]["pattern_name"] == "parse_header"
    assert search_patterns("parse headers", target="team_a")[0]["pattern_name"] == "parse_header"
    with pytest.raises(AirflowFailException, match="no target 'team_b'"):
        PatternSearchOperator(task_id="find", text="x", target="team_b").execute({})


def test_a_text_that_a_template_renders_as_nothing_is_none(configured: TwoSides) -> None:
    def hits(**fields: Any) -> list[str]:
        operator = PatternSearchOperator(task_id="find", text="{{ params.text }}", **fields)
        operator.render_template_fields({"params": {"text": None}})  # type: ignore[typeddict-item]
        return [hit["pattern_name"] for hit in operator.execute({})]

    assert len(hits(query={"language": "python"})) == 3
    assert "parse_header" not in hits(query={"similar_to": "parse_header"})


def test_native_rendering_makes_numbers_of_digits(configured: TwoSides) -> None:
    assert PatternSearchOperator(task_id="find", text=404).execute({}) == []  # type: ignore[arg-type]
    with pytest.raises(AirflowFailException, match="no target '2024'"):
        PatternSearchOperator(task_id="find", text="x", target=2024).execute({})  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["", "team_a"])
def test_a_search_without_a_collection_says_whose_to_make(
    configured: TwoSides, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str
) -> None:
    for name, value in targets_file(tmp_path, {"name": "team_a", "collection": "nothing_a"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_VAR_PATTERNS_COLLECTION", "nothing")
    instance = SimpleNamespace(dag_id="analytics__report", try_number=1, max_tries=0, xcom_push=lambda *_: None)
    context: Any = {"ti": instance}
    told = "Run pattern_sync_full, which makes it, or correct the Variable 'patterns_collection'."
    if target:
        setting = "the key 'collection' of the target 'team_a' in the targets file"
        told = f"Run pattern_sync_full__team_a, which makes it, or correct {setting}."
    with pytest.raises(AirflowFailException, match=re.escape(told)):
        PatternSearchOperator(task_id="find", text="parse", target=target).execute(context)


def test_a_wrong_field_fails_the_task(configured: TwoSides) -> None:
    operator = PatternSearchOperator(task_id="find", text="parse", query={"limit": 1000})
    with pytest.raises(AirflowFailException, match=r"'limit' of the search must be a whole number from 1 to 100"):
        operator.execute({})


def test_the_retriever_of_the_docs(configured: TwoSides) -> None:
    pytest.importorskip("langchain_core")
    blocks = re.findall(r"```python\n(.+?)```", (ROOT / "docs" / "search.md").read_text("utf-8"), re.DOTALL)
    [shown] = [block for block in blocks if "BaseRetriever" in block]
    assert len([line for line in shown.splitlines() if line]) <= 10
    made: dict[str, Any] = {"__name__": "shown"}
    exec(shown, made)  # noqa: S102
    document, *_ = made["PatternRetriever"](fields={"language": "python"}).invoke("parse headers")
    assert document.page_content.startswith("def parse_header")
    assert document.metadata["pattern_name"] == "parse_header"
