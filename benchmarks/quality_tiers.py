"""What the scores separate: real code from minified code, cut code and stubs.

``PYTHONPATH=plugins python -m benchmarks.quality_tiers`` scores the functions of the standard library as they are,
minified, reduced to stubs, cut at 500 characters, and with good fields beside them. It also scores the stub files
(``.pyi``) of mypy. It writes the table of tier shares into ``docs/quality.md`` and the plot ``docs/quality-tiers.svg``.
"""

import ast
import copy
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.page import put
from benchmarks.patterns import functions
from benchmarks.servers import ROOT
from code_patterns.quality import QualityScore, score_pattern
from code_patterns.quality.dimensions import TIERS, WEIGHTS

PAGE, PLOT = ROOT / "docs" / "quality.md", ROOT / "docs" / "quality-tiers.svg"
BEGIN, END = "<!-- tiers: begin -->", "<!-- tiers: end -->"
OLD_CUT = 500
DESCRIBED = "the standard library, with care"
CARE = {
    "description": "What this function does and when to use it, in words.",
    "use_cases": ["a first one", "a second one", "a third one"],
    "examples": ["one call", "another call"],
}
"""Fields beside the code, filled in with care."""
COLOURS = {"excellent": "#1a7f4b", "good": "#67b26f", "fair": "#f2c14e", "poor": "#c8553d"}


@dataclass(frozen=True)
class Group:
    """One kind of code and its scores."""

    name: str
    scores: list[QualityScore]

    def share(self, tier: str) -> float:
        """Share of the scores in a tier."""
        return sum(score.tier == tier for score in self.scores) / len(self.scores)

    def mean(self, name: str) -> float:
        """Mean of a dimension or of the composite."""
        return sum(getattr(score, name) for score in self.scores) / len(self.scores)


class Minified(ast.NodeTransformer):
    """Remove what a minifier removes: docstrings, hints and the names of local variables."""

    def __init__(self, function: ast.AST) -> None:
        stored = (n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        kept = {name for n in ast.walk(function) if isinstance(n, ast.Global | ast.Nonlocal) for name in n.names}
        self._names = {name: f"v{number}" for number, name in enumerate(dict.fromkeys(stored)) if name not in kept}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """Rename."""
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Drop the hint."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Drop the hint; drop the statement if it is only a hint."""
        self.generic_visit(node)
        return ast.copy_location(ast.Assign([node.target], node.value), node) if node.value else ast.Pass()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Drop docstring and result."""
        self.generic_visit(node)
        node.returns = None
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node


def fields(code: str, name: str, path: str) -> dict[str, Any]:
    """The payload of a function, from the fields that an installation's rows have."""
    metadata = {"module": path.removesuffix(".py"), "kind": "function", "python": "3.11", "lines": code.count("\n") + 1}
    known = {"pattern_name": name, "pattern_type": "code", "pattern_version": "1.0.0", "file_path": path}
    return {"code": code, "language": "python", "metadata": metadata, **known}


def stubbed(function: ast.FunctionDef) -> str:
    """Reduce a function to its signature, as a stub generator does."""
    bare = copy.deepcopy(function)
    bare.body = [ast.Expr(ast.Constant(...))]
    return ast.unparse(bare)


def variants() -> Iterator[tuple[str, str, str, str]]:
    """Kind, name, path and code of everything that is scored."""
    for name, path, indented in functions():
        code = textwrap.dedent(indented)
        # A method cannot be dedented if a string in it has text at the left margin.
        if code[0].isspace():
            continue
        function = ast.parse(code).body[0]
        if not isinstance(function, ast.FunctionDef):
            continue
        yield "the standard library", name, path, code
        yield "the same, cut at 500 characters", name, path, code[:OLD_CUT]
        yield "the same, as generated stubs", name, path, stubbed(function)
        minified = Minified(function).visit(function)
        yield "the same, minified", name, path, ast.unparse(ast.fix_missing_locations(minified))
    spec = find_spec("mypy")
    stubs = Path((spec.submodule_search_locations or [""])[0] if spec else "", "typeshed", "stdlib")
    for file in sorted(stubs.glob("*.pyi")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                yield "its stub files (.pyi)", node.name, file.name, ast.unparse(node)


def groups() -> list[Group]:
    """Score everything, in the order of the table."""
    order = [
        DESCRIBED,
        "the standard library",
        "the same, minified",
        "the same, cut at 500 characters",
        "its stub files (.pyi)",
        "the same, as generated stubs",
    ]
    found: dict[str, list[QualityScore]] = {name: [] for name in order}
    for kind, name, path, code in variants():
        payload = fields(code, name, path)
        score = score_pattern(payload)
        found[kind].append(score)
        if kind == "the standard library":
            declared = {"complexity": score.measured_complexity, **CARE}
            found[DESCRIBED].append(score_pattern(payload | declared))
    return [Group(name, found[name]) for name in order]


def table(found: list[Group]) -> str:
    """The tier shares and averages in Markdown."""
    names = [name for name, _ in TIERS]
    lines = [
        f"| functions of | number | {' | '.join(names)} | composite | completeness | documentation |",
        "|---|---:|" + "---:|" * (len(names) + 3),
    ]
    for group in found:
        shares = " | ".join(f"{group.share(name):.1%}" for name in names)
        means = " | ".join(f"{group.mean(name):.2f}" for name in ("composite", *list(WEIGHTS)[:2]))
        lines.append(f"| {group.name} | {len(group.scores):,} | {shares} | {means} |")
    return "\n".join(lines)


def plot(found: list[Group]) -> str:
    """Draw a bar of tier shares for each group, and below it the distribution of the composites, as SVG."""
    left, width, height, bottom = 240, 560, 74, 40
    total = height * len(found) + bottom + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 40} {total}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{left + width + 40}" height="{total}" fill="#ffffff"/>',
    ]
    for number, (tier, colour) in enumerate(COLOURS.items()):
        x = left + number * 110
        parts.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="19">{tier}</text>')
    for number, group in enumerate(found):
        top = 34 + number * height
        parts.append(f'<text x="{left - 12}" y="{top + 15}" text-anchor="end">{group.name}</text>')
        x = float(left)
        for tier, colour in COLOURS.items():
            share = group.share(tier) * width
            parts.append(f'<rect x="{x:.1f}" y="{top}" width="{share:.1f}" height="20" fill="{colour}"/>')
            x += share
        parts += _histogram(group, left, width, top + 24, 38)
    axis = 34 + len(found) * height
    for tenth in range(0, 11, 2):
        x = left + width * tenth / 10
        parts.append(f'<text x="{x}" y="{axis + 8}" text-anchor="middle" font-size="11">{tenth / 10:.1f}</text>')
    middle = left + width / 2
    parts.append(
        f'<text x="{middle}" y="{axis + 26}" text-anchor="middle">composite score (grey: how many)</text></svg>'
    )
    return "\n".join(parts) + "\n"


def _histogram(group: Group, left: int, width: int, top: int, height: int) -> list[str]:
    bins = [0] * 50
    for score in group.scores:
        bins[min(int(score.composite * len(bins)), len(bins) - 1)] += 1
    step, most = width / len(bins), max(bins)
    return [
        f'<rect x="{left + step * number:.1f}" y="{top + height * (1 - count / most):.1f}" width="{step - 1:.1f}" '
        f'height="{height * count / most:.1f}" fill="#8a8f98"/>'
        for number, count in enumerate(bins)
        if count
    ]


def main() -> None:
    """Score, and write table and plot."""
    found = groups()
    text = table(found)
    put(PAGE, BEGIN, END, text)
    PLOT.write_text(plot(found), "utf-8")
    print(text)


if __name__ == "__main__":
    main()
