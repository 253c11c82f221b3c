"""What must hold for the score of any code: over real functions, and over anything at all.

The suite takes a sample; PATTERNS_PROPERTY_FUNCTIONS=10000 and PATTERNS_PROPERTY_CASES=100000 take everything.
"""

import ast
import copy
import io
import keyword
import math
import os
import subprocess
import sys
import textwrap
import tokenize
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from code_patterns.quality import QualityScore, score_pattern
from code_patterns.quality.dimensions import LEVELS, WEIGHTS, tier_of
from code_patterns.quality.grammars import GRAMMARS
from tests.conftest import ROOT
from tests.support.real_functions import real_functions

FULL = 0.85
"""Documentation without a description, if the code leaves nothing open."""
FUNCTIONS = int(os.environ.get("PATTERNS_PROPERTY_FUNCTIONS", "150"))
CASES = int(os.environ.get("PATTERNS_PROPERTY_CASES", "100"))
BODIES = [
    "pass",
    "...",
    "raise NotImplementedError",
    "raise NotImplementedError('later')",
    "# TODO",
    "pass  # TODO: do",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def score(code: str, **fields: Any) -> QualityScore:
    return score_pattern({"code": code, "language": "python", **fields})


@cache
def sources() -> list[tuple[str, str]]:
    """Name and source of real functions that can stand alone."""
    every = real_functions()
    step = max(1, len(every) // FUNCTIONS)
    found = []
    for name, _, code in every[::step]:
        code = textwrap.dedent(code)
        # Text at the left margin inside a string keeps some methods from being dedented.
        if not code[0].isspace():
            found.append((name, code))
    return found


def tree(code: str) -> Any:
    return ast.parse(code).body[0]


def unparsed(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node))


def others_equal(one: QualityScore, two: QualityScore) -> bool:
    return all(one.dimensions[name] == two.dimensions[name] for name in WEIGHTS if name != "documentation")


def without_docstrings(node: Any) -> Any:
    for part in ast.walk(node):
        if isinstance(part, Function | ast.ClassDef) and ast.get_docstring(part, clean=False) is not None:
            part.body = part.body[1:] or [ast.Pass()]
    return node


class WithoutHints(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.copy_location(ast.Assign([node.target], node.value), node) if node.value else ast.Pass()


class Annotated(ast.NodeTransformer):
    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        if node.arg not in ("self", "cls"):
            node.annotation = ast.parse("int | None", mode="eval").body
        return node


class Renamed(ast.NodeTransformer):
    """Give the local variables of a function other names."""

    def __init__(self, function: Function) -> None:
        arguments = {part.arg for part in ast.walk(function) if isinstance(part, ast.arg)}
        outside = {
            name for part in ast.walk(function) if isinstance(part, ast.Global | ast.Nonlocal) for name in part.names
        }
        stored = {
            part.id for part in ast.walk(function) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
        }
        self.names = {name: f"todo_{i}" for i, name in enumerate(sorted(stored - arguments - outside))}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.names.get(node.id, node.id)
        return node


def with_comment(code: str) -> str:
    return code.rstrip("\n") + "\n    # The caller holds the lock, hence no second check.\n"


def test_docstrings_are_documentation_and_nothing_else() -> None:
    checked = 0
    for _, code in sources():
        node = tree(code)
        documented = ast.get_docstring(node)
        before, after = score(code), score(unparsed(without_docstrings(node)))
        assert others_equal(before, after), code
        assert before.cyclomatic == after.cyclomatic
        assert after.documentation <= before.documentation
        if documented:
            checked += 1
            assert after.documentation < before.documentation, code
    assert checked > 20


def test_comments_are_documentation_and_nothing_else() -> None:
    for _, code in sources():
        bare = score(unparsed(tree(code)))
        commented = score(with_comment(unparsed(tree(code))))
        assert others_equal(bare, commented), code
        nothing_open = not bare.completeness or bare.documentation == FULL
        assert commented.documentation > bare.documentation or nothing_open, code


def test_type_hints_are_documentation_and_nothing_else() -> None:
    for _, code in sources():
        bare = score(unparsed(WithoutHints().visit(tree(code))))
        node = Annotated().visit(tree(code))
        node.returns = ast.Name("object", ast.Load())
        hinted = score(unparsed(node))
        assert others_equal(bare, hinted), code
        assert hinted.documentation > bare.documentation or bare.documentation == FULL, code
        assert hinted.cyclomatic == bare.cyclomatic


@pytest.mark.parametrize("body", BODIES)
def test_a_stub_is_no_code_and_gains_nothing(body: str) -> None:
    for name, code in sources():
        node = copy.deepcopy(tree(code))
        documented = ast.get_docstring(node, clean=False)
        node.body = [ast.Pass()]
        head = unparsed(node).rsplit("\n", 1)[0]
        for docstring in {None, documented}:
            text = head + "\n" + (f"    {docstring!r}\n" if docstring else "") + f"    {body}\n"
            for declared in (None, "low", "high"):
                fields = {"pattern_name": name, "complexity": declared}
                real, stub = score(code, **fields), score(text, **fields)
                assert stub.completeness < 0.3, text
                for dimension in WEIGHTS:
                    assert stub.dimensions[dimension] <= real.dimensions[dimension], (dimension, text)


def test_names_layout_and_quotes_change_nothing() -> None:
    for _, code in sources():
        node = tree(code)
        plain = score(unparsed(node))
        renamed = score(unparsed(Renamed(node).visit(node)))
        assert renamed == plain, code
        laid_out = score(requoted("if True:\n" + textwrap.indent(unparsed(tree(code)), "\t") + "\n"))
        assert laid_out.dimensions["completeness"] == plain.completeness
        assert score(textwrap.indent(code, "        ")).dimensions == score(code).dimensions or '"""' in code, code
        assert score(requoted(code)) == score(code), code


def requoted(code: str) -> str:
    """Change 'text' to "text" wherever that is only a change of quotes."""
    tokens = []
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        text = token.string
        if token.type == tokenize.STRING and text[0] == text[-1] == "'" and not text.startswith("'''"):
            inner = text[1:-1]
            if '"' not in inner and "\\" not in inner:
                token = token._replace(string=f'"{inner}"')
        tokens.append(token)
    return tokenize.untokenize(tokens)


def test_branches_move_the_measured_complexity_and_the_right_declaration_pays() -> None:
    for _, code in sources():
        before = score(code)
        node = tree(code)
        node.body.append(ast.parse("if undecided and ready:\n    go()").body[0])
        assert score(unparsed(node)).cyclomatic == before.cyclomatic + 2, code
        if before.completeness == 0:
            continue
        declared = {level: score(code, complexity=level).complexity for level in LEVELS}
        right = declared.pop(before.measured_complexity)
        assert right > before.complexity
        assert all(wrong < before.complexity for wrong in declared.values())


def test_twenty_branches_are_high() -> None:
    code = "def f(x):\n" + "".join(f"    if x == {n}:\n        x += {n}\n" for n in range(20)) + "    return x\n"
    assert (score(code).cyclomatic, score(code).measured_complexity) == (21, "high")


ANY_TEXT = st.text(st.characters(codec=None), max_size=200)
TOKENS = st.sampled_from(
    [
        *keyword.kwlist,
        *"(){}[]<>:;,.=+-*/\\'\"#@!?&|~`$%^\n\t ",
        '"""',
        "//",
        "/*",
        "=>",
        "fn ",
        "func ",
        "a",
        "1",
        "\x00",
    ]
)
CODE = (
    ANY_TEXT | st.lists(TOKENS, max_size=60).map("".join) | st.binary(max_size=100).map(lambda b: b.decode("latin-1"))
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda children: st.lists(children, max_size=5) | st.dictionaries(ANY_TEXT, children, max_size=5),
    max_leaves=8,
)
FIELDS = [
    "code",
    "content_preview",
    "text",
    "description",
    "confidence",
    "pattern_confidence",
    "node_type",
    "node_types",
    "pattern_name",
    "complexity",
    "use_cases",
    "examples",
    "metadata",
    "file_path",
    "language",
]
LANGUAGES = st.sampled_from([*GRAMMARS, "python", "cobol", "", None])
PAYLOADS = st.one_of(
    JSON,
    st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)),
    st.fixed_dictionaries({"code": CODE, "language": LANGUAGES}, optional={"confidence": JSON, "metadata": JSON}),
)


def assert_sane(result: QualityScore) -> None:
    for value in (*result.dimensions.values(), result.composite, result.confidence):
        assert isinstance(value, float)
        assert math.isfinite(value)
        assert 0 <= value <= 1
    assert result.tier == tier_of(result.composite)
    assert result.cyclomatic >= 1


@settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
@given(PAYLOADS)
def test_any_payload_gives_sane_numbers_and_the_same_twice(payload: Any) -> None:
    result = score_pattern(payload)
    assert_sane(result)
    assert score_pattern(payload) == result


def test_characters_beyond_ascii_do_not_end_the_process() -> None:
    """The scanner of Bash looks such a character up beyond the end of a table of C."""
    code = (
        "from code_patterns.quality.score import score_pattern\n"
        "for number in range(0x100, 0x110000, 0x400):\n"
        "    score_pattern({'code': '{' + chr(number), 'language': 'bash'})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, (done.returncode, done.stderr)


HOSTILE = {
    "one line of 1 MB": "x = 1;" * 170_000,
    "one word of 1 MB": "x" * 1_000_000,
    "blanks": " " * 1_000_000,
    "open brackets": "(" * 10_000,
    "nested brackets": "[" * 10_000 + "]" * 10_000,
    "nested calls": "f(" * 10_000 + ")" * 10_000,
    "a chain of attributes": "a" + ".b" * 10_000,
    "a long sum": "1" + "+1" * 20_000,
    "many minus": "-" * 10_000 + "1",
    "elif without end": "if x:\n pass\n" + "elif x:\n pass\n" * 3_000,
    "generics without end": "a<" * 10_000,
    "commas": ",~" * 30_000,
    "quotes": "'" * 100_001,
    "docstrings without end": "'''a" * 50_000,
    "comment openers": "/*" * 100_000,
    "heads without end": "def f(" * 50_000,
    "binary": bytes(range(256)).decode("latin-1") * 400,
    "lone surrogates": "\ud800" * 10_000,
}


@pytest.mark.parametrize("language", ["python", None, "java", "typescript", "cpp", "bash"])
def test_hostile_code_is_scored_in_bounded_memory(language: str | None) -> None:
    for name, code in HOSTILE.items():
        result = score_pattern({"code": code, "language": language})
        assert_sane(result)
        assert result.reading.parser in ("ast", "tree-sitter", "text", "none"), name
