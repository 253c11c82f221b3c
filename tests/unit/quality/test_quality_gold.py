"""The gold set is whole, and the composite agrees with its grades."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quality_gold
from code_patterns.quality.grammars import GRAMMARS
from tests.conftest import ROOT

GOLD = ROOT / "benchmarks" / "gold"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(GOLD, name).read_text("utf-8").splitlines()]


def test_every_function_has_its_origin_and_its_grades() -> None:
    functions, grades = lines("functions.jsonl"), lines("grades.jsonl")
    notices = (GOLD / "LICENCES.md").read_text("utf-8")
    assert [line["id"] for line in functions] == [line["id"] for line in grades] == [f"g{n:03}" for n in range(1, 201)]
    assert len({line["language"] for line in functions} & {"python", *GRAMMARS}) == 9
    for line in functions:
        assert hashlib.sha256(line["code"].encode()).hexdigest() == line["sha256"], line["id"]
        assert all(line[name] for name in ("version", "path", "licence")), line["id"]
        assert line["package"] in notices, line["package"]
    for line in grades:
        assert all(line[name] in range(1, 6) for name in quality_gold.SHARES), line["id"]
        assert line["reason"].strip(), line["id"]


def test_the_composite_agrees_with_the_grades_on_both_halves() -> None:
    graded = quality_gold.graded()
    for some in (graded, [one for one in graded if one.held_out], [one for one in graded if not one.held_out]):
        pairs = ((one.score.composite, one.grade) for one in some)
        assert quality_gold.spearman(pairs) >= quality_gold.LEAST


def test_the_page_shows_what_the_scorer_does_now() -> None:
    page = (ROOT / "docs" / "quality.md").read_text("utf-8")
    assert quality_gold.table(quality_gold.graded()) in page


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(1, 10), (2, 20), (3, 30)], 1.0),
        ([(1, 30), (2, 20), (3, 10)], -1.0),
        ([(1, 1), (1, 2), (2, 3), (3, 3)], 0.8889),
    ],
)
def test_spearman(pairs: list[tuple[float, float]], expected: float) -> None:
    assert quality_gold.spearman(pairs) == pytest.approx(expected, abs=1e-4)
