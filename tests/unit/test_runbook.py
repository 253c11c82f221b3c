"""The runbook has an entry for each code, and no other."""

import ast
import re
from pathlib import Path

from code_patterns.codes import Code

ROOT = Path(__file__).parents[2]
PARTS = ("See", "Do", "Otherwise")
_ENTRY = re.compile(r"^### (PAT-\S+)\n+(.*?)(?=^#{2,3} |\Z)", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"PAT-[A-Z]-\d{3}")


def entries() -> list[tuple[str, str]]:
    """Code and text of each entry, in the page's order."""
    return _ENTRY.findall((ROOT / "docs/runbook.md").read_text())


def test_each_code_has_one_entry_and_each_entry_a_code() -> None:
    codes = [code for code, _ in entries()]
    assert sorted(codes) == sorted({*Code, *alerts()})


def test_each_entry_says_what_it_means_how_to_see_it_what_to_do_and_what_happens_otherwise() -> None:
    for code, text in entries():
        paragraphs = [part for part in text.strip().split("\n") if part]
        assert re.match(r"\*\*.+\.\*\* .+\.", paragraphs[0]), code
        assert [line.split("**")[1] for line in paragraphs[1:]] == list(PARTS), code
        assert all(len(line) > len("- **Otherwise**: ") for line in paragraphs[1:]), code


def test_each_code_that_a_page_names_exists() -> None:
    known = {code for code, _ in entries()}
    for page in (*ROOT.glob("docs/*.md"), ROOT / "README.md"):
        assert set(_CODE.findall(page.read_text())) <= known, page.name


def test_each_code_is_used() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "plugins").rglob("*.py") if path.name != "codes.py")
    assert not [code.name for code in Code if f"Code.{code.name}" not in sources]


def test_each_remedy_is_followed_by_a_test() -> None:
    assert not {*(code.name for code in Code), *alerts()} - remedies()


def remedies() -> set[str]:
    """Names of the codes, and codes of the alerts, whose remedy a test follows, by the mark `remedy`."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")]
    return {
        argument.attr if isinstance(argument, ast.Attribute) else argument.value
        for tree in trees
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "remedy"
        for argument in call.args
        if isinstance(argument, ast.Attribute | ast.Constant)
    }


def alerts() -> set[str]:
    """Codes of the alert rules."""
    rules = ROOT / "include/monitoring/prometheus/rules"
    return set(_CODE.findall("".join(path.read_text() for path in rules.iterdir())))
