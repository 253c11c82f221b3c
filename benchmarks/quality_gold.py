"""How well the composite agrees with the grades of a reader.

``PYTHONPATH=plugins python -m benchmarks.quality_gold`` scores the functions of ``gold/functions.jsonl`` and compares
the composites with the grades of ``gold/grades.jsonl`` by Spearman's rank correlation. ``gold/RUBRIC.md`` says how they
were graded. It writes the table into ``docs/quality.md``.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.page import put
from code_patterns.quality import QualityScore, score_pattern

GOLD = Path(__file__).parent / "gold"
PAGE = Path(__file__).parents[1] / "docs" / "quality.md"
BEGIN, END = "<!-- gold: begin -->", "<!-- gold: end -->"
SHARES = {"completeness": 0.40, "documentation": 0.35, "maintainability": 0.125, "complexity": 0.125}
"""How the four grades combine, from the rubric."""
LEAST = 0.75
"""The least correlation of all functions that is good enough."""


@dataclass(frozen=True)
class Graded:
    """A function with its grades and its score.

    :param id: ``g`` and a number; an odd one belongs to the half on which the scorer may be mended
    :param language: as stored in the file
    :param grades: 1 to 5 by dimension of the rubric
    :param score: what the scorer says
    """

    id: str
    language: str
    grades: Mapping[str, int]
    score: QualityScore

    @property
    def held_out(self) -> bool:
        """Whether it belongs to the half by which nothing is decided."""
        return int(self.id[1:]) % 2 == 0

    @property
    def grade(self) -> float:
        """The four grades combined as the rubric says."""
        return sum(share * self.grades[name] for name, share in SHARES.items())

    @property
    def plain_grade(self) -> float:
        """The mean of the four grades."""
        return sum(self.grades[name] for name in SHARES) / len(SHARES)


def graded() -> list[Graded]:
    """Score every function of the gold set, with the fields that a row of an installation has."""
    grades = {line["id"]: line for line in _lines("grades.jsonl")}
    return [
        Graded(line["id"], line["language"], grades[line["id"]], score_pattern(payload_of(line)))
        for line in _lines("functions.jsonl")
    ]


def payload_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of a function as the sync writes it; nothing describes it beside its code."""
    return {
        "code": line["code"],
        "language": line["language"],
        "file_path": line["path"],
        "pattern_name": line["name"],
        "pattern_type": "code",
        "metadata": {"package": line["package"], "version": line["version"]},
    }


def spearman(pairs: Iterable[tuple[float, float]]) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks."""
    first, second = (_ranks(values) for values in zip(*pairs, strict=True))
    mean = (len(first) + 1) / 2
    shared = sum((a - mean) * (b - mean) for a, b in zip(first, second, strict=True))
    spread = math.sqrt(sum((a - mean) ** 2 for a in first) * sum((b - mean) ** 2 for b in second))
    return shared / spread if spread else math.nan


def table(some: Sequence[Graded]) -> str:
    """The correlations in Markdown: of all, of both halves, and by language."""
    groups = [
        ("**all**", some),
        ("the half that mends (odd)", [one for one in some if not one.held_out]),
        ("the half held out (even)", [one for one in some if one.held_out]),
        *((language, [one for one in some if one.language == language]) for language in _languages(some)),
    ]
    lines = ["| functions | number | by the rubric | by equal weights |", "|---|---:|---:|---:|"]
    for name, group in groups:
        both = (_agreement(group, lambda one: one.grade), _agreement(group, lambda one: one.plain_grade))
        lines.append(f"| {name} | {len(group)} | {' | '.join(f'{value:.2f}' for value in both)} |")
    return "\n".join(lines)


def main() -> None:
    """Score, print and write the table; fail if the composite agrees too little."""
    some = graded()
    text = table(some)
    put(PAGE, BEGIN, END, text)
    print(text)
    if (found := _agreement(some, lambda one: one.grade)) < LEAST:
        sys.exit(f"The composite agrees with the grades by {found:.2f}, less than {LEAST}.")


def _agreement(group: Sequence[Graded], grade: Callable[[Graded], float]) -> float:
    return spearman((one.score.composite, grade(one)) for one in group)


def _languages(some: Sequence[Graded]) -> list[str]:
    return sorted({one.language for one in some})


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for position in order[start:end]:
            ranks[position] = (start + 1 + end) / 2
        start = end
    return ranks


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLD / name).read_text("utf-8").splitlines()]


if __name__ == "__main__":
    main()
