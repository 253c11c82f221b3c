"""``python -m code_patterns.search``, as a person runs it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from code_patterns.search.__main__ import main
from code_patterns.sync.row_filter import RowFilter
from code_patterns.sync.sync_target import SyncTarget
from tests.conftest import ROOT
from tests.support.connections import connections_of, targets_file
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def searchable(sides: TwoSides, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoSides]:
    parse, _ = new = rows(2, language="python")
    parse |= {
        "pattern_name": "parse_header",
        "pattern_data": json.dumps({"code": "def parse_header(line):\n    return 1"}),
    }
    sides.insert(new)
    sides.sync("full")
    for name, value in connections_of(sides).items():
        monkeypatch.setenv(name, value)
    return sides


def test_a_table_for_people(searchable: TwoSides, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parse the header", "--language", "python", "--limit", "1"]) == 0
    head, first, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["score", "quality", "name", "language", "path", "matched"]
    assert first.split()[1:4] == ["-", "parse_header", "python"]
    assert last.startswith("1 hits by words in ")


def test_a_program_reads_nothing_but_the_answer(searchable: TwoSides) -> None:
    command = [sys.executable, "-m", "code_patterns.search", "parse_header", "--json", "--limit", "1"]
    environment = {"PYTHONPATH": str(ROOT / "plugins"), **connections_of(searchable)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [hit["pattern_name"] for hit in json.loads(done.stdout)["hits"]] == ["parse_header"]


def test_json_for_programs(searchable: TwoSides, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parse_header", "--json", "--limit", "1"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [hit["pattern_name"] for hit in answer["hits"]] == ["parse_header"]
    assert answer["hits"][0]["matched_words"][0] == "parse_header"
    assert answer["mode"] == "words"


def test_code_from_standard_input(
    searchable: TwoSides, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "def parse_header(größe):\n    return 1\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(code.encode()), encoding="ascii"))
    assert main(["-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"][0]["pattern_name"] == "parse_header"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(code.encode("latin-1"))))
    assert main(["-"]) == 2, "not as if nothing was found"
    assert "standard input is not UTF-8" in capsys.readouterr().err


def test_the_collection_of_a_target(
    searchable: TwoSides, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go = rows(3, 10, language="go")
    searchable.insert(go)
    target = SyncTarget("team_a", RowFilter(languages=("go",)))
    of_team = replace(searchable, collection=f"{searchable.collection}_a", settings={"target": target})
    of_team.sync("full")
    entry = {"name": "team_a", "collection": of_team.collection, "filters": {"language": "go"}}
    for name, value in targets_file(tmp_path, entry).items():
        monkeypatch.setenv(name, value)
    # The filters belong to the sync: whatever is in the collection is found.
    assert main(["--target", "team_a", "--path-prefix", "", "--language", "go", "--json"]) == 0
    assert {hit["id"] for hit in json.loads(capsys.readouterr().out)["hits"]} == {str(row["id"]) for row in go}
    assert main(["parse_header", "--target", "team_a"]) == 1
    capsys.readouterr()
    assert main(["parse_header", "--target", "team_b"]) == 2
    assert capsys.readouterr().err.startswith("There is no target 'team_b' in the targets file")


def test_the_exit_status_tells_nothing_found_from_wrong_input(
    searchable: TwoSides, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["zyzzyva"]) == 1
    assert capsys.readouterr().out.startswith("0 hits by words in ")
    assert main(["x", "--limit", "0"]) == 2
    said = "The field 'limit' of the search must be a whole number from 1 to 100. [PAT-R-001]\n"
    assert capsys.readouterr().err == said
    monkeypatch.delenv("AIRFLOW_CONN_PATTERNS_QDRANT")
    assert "AIRFLOW_CONN_PATTERNS_QDRANT" not in os.environ
    assert main(["x"]) == 2
    assert "Connection 'patterns_qdrant' is not defined" in capsys.readouterr().err
