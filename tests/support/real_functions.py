"""Real code for tests: functions of SQLAlchemy, which requirements.lock pins to one version on every interpreter.

The standard library would not do: each interpreter holds another one.
"""

import ast
import functools
from collections import deque
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import NamedTuple

PACKAGE = "sqlalchemy"
FOLDERS = ("engine", "orm", "sql")


class Function(NamedTuple):
    """A function of the package: its name, the file that holds it, and its source as it stands there."""

    name: str
    path: str
    code: str


def package_folder() -> Path:
    """Where the package is installed."""
    spec = find_spec(PACKAGE)
    assert spec is not None, f"{PACKAGE} is not installed"
    return Path(str(spec.origin)).parent


def real_functions() -> tuple[Function, ...]:
    """Every function of three subpackages, a few thousand; no two have the same source."""
    read, rest = _reading()
    read += rest
    return tuple(read)


@functools.cache
def _reading() -> tuple[list[Function], Iterator[Function]]:
    """What has been read, and the rest: to parse all of it takes seconds, and most tests need few."""
    return [], _read()


def _read() -> Iterator[Function]:
    root = package_folder()
    seen: set[str] = set()
    for path in sorted(file for folder in FOLDERS for file in (root / folder).glob("*.py")):
        text = path.read_text("utf-8")
        lines = text.splitlines(keepends=True)
        for node in _functions(ast.parse(text)):
            code = "".join(lines[node.lineno - 1 : node.end_lineno])
            if code not in seen:
                seen.add(code)
                yield Function(node.name, path.relative_to(root).as_posix(), code)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Every function, breadth first. Expressions, most of the tree, hold none."""
    left = deque([tree])
    while left:
        node = left.popleft()
        if isinstance(node, ast.FunctionDef):
            yield node
        left.extend(child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))


def some_functions(count: int, start: int = 0) -> tuple[Function, ...]:
    """So many functions, from a position on.

    :raises ValueError: there are not so many; fewer would weaken a test without a sign
    """
    read, rest = _reading()
    read += islice(rest, max(start + count - len(read), 0))
    chosen = tuple(read[start : start + count])
    if len(chosen) < count:
        raise ValueError(f"there are {len(read)} real functions, not {start + count}")
    return chosen
