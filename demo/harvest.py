"""Real patterns to work with: functions and classes of the running interpreter's standard library.

Every call on the same Python version chooses the same code and gives every row the same id, so two runs of the demo
can be compared.
"""

import ast
import hashlib
import json
import os
import sys
import sysconfig
import textwrap
import tokenize
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from demo.errors import DemoError

PATTERNS = 1200
"""How many functions and classes are taken."""

HELD_BACK = 40
"""How many of them are not loaded at first; the burst of changes inserts them."""

OTHER_TYPES_EACH = 40
SECOND_VERSIONS = 30
LARGE_BYTES = 200_000
HISTORY = timedelta(days=14)
"""The rows' dates are spread evenly over this time before the load."""

_NAMESPACE = uuid.UUID("5b0c8f0a-6f0e-5d3c-9a53-2f7a3d1c9e10")
TAKEN_WHOLE = ("urllib/parse.py", "shutil.py", "textwrap.py", "json/encoder.py", "json/decoder.py", "statistics.py")
"""Modules taken whole: they exist in every Python version, so a search for them finds something."""
_MOST_PER_FILE = 12
_LINES = range(4, 301)
_SHORT_CHARACTERS = 600
"""The question describes a pattern no longer than this: in a long one the code outweighs the description."""
_SKIPPED_FOLDERS = {
    "__pycache__",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib-dynload",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "test",
    "tests",
    "turtledemo",
}


@dataclass(frozen=True)
class Pattern:
    """One row of ``pattern_lineage_nodes``.

    :param id: primary key
    :param pattern_id: name of the pattern, shared by its versions
    :param pattern_name: qualified name of the function or class
    :param pattern_type: ``code``, ``config``, ``template`` or ``workflow``
    :param pattern_version: version of the pattern
    :param pattern_data: JSON text of the jsonb column; the code is at key ``code``
    :param metadata: JSON text of the jsonb column, or ``None`` for SQL NULL
    :param created_at: when the row was made
    :param file_path: path relative to the standard library
    :param language: programming language
    """

    id: uuid.UUID
    pattern_id: str
    pattern_name: str
    pattern_type: str
    pattern_version: str
    pattern_data: str
    metadata: str | None
    created_at: datetime
    file_path: str
    language: str


@dataclass(frozen=True)
class Harvest:
    """What the demo works with.

    :param loaded: rows the installation starts with
    :param later: rows that the burst of changes inserts
    :param question: the description of one of the later rows
    """

    loaded: tuple[Pattern, ...]
    later: tuple[Pattern, ...]
    question: str


@dataclass(frozen=True)
class _Source:
    file_path: str
    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    code: str


def harvest(now: datetime, library: Path | None = None) -> Harvest:
    """Choose the rows of an installation.

    :param now: the rows' dates end here
    :param library: the folder to read; default: the interpreter's standard library
    :raises DemoError: the library's source files are missing or too few
    """
    folder = library or Path(sysconfig.get_path("stdlib"))
    sources: list[_Source] = []
    for file in _files(folder):
        sources.extend(_sources(folder, file))
        if len(sources) >= PATTERNS:
            break
    if len(sources) < PATTERNS:
        raise DemoError(
            f"Only {len(sources)} of {PATTERNS} patterns were found in {folder}: this Python was installed without the "
            "source of its standard library. Use another one: make clean, then make demo PYTHON=/path/to/python3"
        )
    del sources[PATTERNS:]
    # Sorting by hash spreads every module over the whole history and over the rows held back.
    sources.sort(key=lambda source: _hash(f"{source.file_path}:{source.name}"))
    code = [_code_pattern(source) for source in sources]
    kept = PATTERNS - HELD_BACK
    rows = _with_older_shapes(code[:kept])
    rows += [replace(row, id=_id(row.pattern_id, "2.0.0"), pattern_version="2.0.0") for row in rows[:SECOND_VERSIONS]]
    rows += _special(sources)
    rows += _other_types(sources)
    step = HISTORY / len(rows)
    descriptions = [_description(source) for source in sources[kept:] if len(source.code) <= _SHORT_CHARACTERS]
    return Harvest(
        loaded=tuple(replace(row, created_at=now - HISTORY + step * number) for number, row in enumerate(rows)),
        later=tuple(replace(row, created_at=now) for row in code[kept:]),
        question=max((text for text in descriptions if text.endswith(".")), key=len),
    )


def _files(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in TAKEN_WHOLE)
    others: list[Path] = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith("config-")]
        others += [Path(here, name) for name in names if name.endswith(".py") and not name.startswith("_sysconfigdata")]
    paths = {file.relative_to(folder).as_posix(): file for file in others}
    yield from (
        file for path, file in sorted(paths.items(), key=lambda item: _hash(item[0])) if path not in TAKEN_WHOLE
    )


def _sources(folder: Path, file: Path) -> list[_Source]:
    """Find the functions, methods and classes of one file, each name once."""
    with tokenize.open(file) as opened:
        text = opened.read()
    lines = text.splitlines(keepends=True)
    path = file.relative_to(folder).as_posix()
    found: dict[str, _Source] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}{node.name}"
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                last = node.end_lineno or node.lineno
                code = textwrap.dedent("".join(lines[first - 1 : last]))
                # A method cannot be dedented if a string in it has text at the left margin. It is no code by itself.
                if last - first + 1 in _LINES and name not in found and not code[0].isspace():
                    found[name] = _Source(path, name, node, code)
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{name}.")

    visit(ast.parse(text, filename=str(file)).body, "")
    chosen = list(found.values())
    if path not in TAKEN_WHOLE:
        chosen = sorted(chosen, key=lambda source: _hash(source.name))[:_MOST_PER_FILE]
    return chosen


def _code_pattern(source: _Source) -> Pattern:
    return _row(
        f"stdlib:{source.file_path}:{source.name}",
        source.name,
        "code",
        json.dumps({"code": source.code}, ensure_ascii=False),
        json.dumps(_facts(source), ensure_ascii=False),
        source.file_path,
    )


def _facts(source: _Source) -> dict[str, Any]:
    node = source.node
    facts: dict[str, Any] = {
        "kind": "class" if isinstance(node, ast.ClassDef) else "method" if "." in source.name else "function",
        "module": source.file_path.removesuffix(".py").removesuffix("/__init__").replace("/", "."),
        "description": _description(source),
        "first_line": node.lineno,
        "last_line": node.end_lineno,
        "decorators": [ast.unparse(decorator) for decorator in node.decorator_list],
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    if isinstance(node, ast.ClassDef):
        facts["bases"] = [ast.unparse(base) for base in node.bases]
    else:
        arguments = node.args
        facts["arguments"] = [a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]
        facts["asynchronous"] = isinstance(node, ast.AsyncFunctionDef)
    return facts


def _description(source: _Source) -> str:
    return (ast.get_docstring(source.node) or "").partition("\n")[0]


def _with_older_shapes(rows: list[Pattern]) -> list[Pattern]:
    """Give some rows the shapes of older writers: JSON inside a JSON string, metadata that is NULL."""
    shaped = list(rows)
    for number in range(0, len(rows), 12):
        shaped[number] = replace(rows[number], pattern_data=json.dumps(rows[number].pattern_data))
    for number in range(5, len(rows), 40):
        shaped[number] = replace(rows[number], metadata=None)
    return shaped


def _special(sources: list[_Source]) -> list[Pattern]:
    """Make difficult rows: no code, text in many scripts, one very large function."""
    unicode_code = (
        "def größe_prüfen(größe: float) -> str:\n"
        '    """Überprüft die Größe: naïve café, 数据库, база данных, قاعدة بيانات, 🧩."""\n'
        '    return "groß 🐘" if größe > 1 else "klein 🐜"\n'
    )
    specials = [("empty_code", ""), ("größe_prüfen", unicode_code), ("everything_at_once", _large_function(sources))]
    return [
        _row(
            f"special:{name}",
            name,
            "code",
            json.dumps({"code": code}, ensure_ascii=False),
            json.dumps({"kind": "function", "description": "A row that needs care."}),
            f"special/{name}.py",
        )
        for name, code in specials
    ]


def _large_function(sources: list[_Source]) -> str:
    """Put real functions into the body of one function."""
    parts = ["def everything_at_once():\n"]
    size = 0
    for source in sources:
        if isinstance(source.node, ast.ClassDef):
            continue
        part = textwrap.indent(source.code, "    ").rstrip("\n") + "\n\n"
        parts.append(part)
        size += len(part.encode())
        if size >= LARGE_BYTES:
            break
    return "".join(parts)


def _other_types(sources: list[_Source]) -> list[Pattern]:
    """Make rows of other types from the same functions; the sync must ignore them."""
    rows: list[Pattern] = []
    for source in sources:
        node = source.node
        if isinstance(node, ast.ClassDef):
            continue
        calls = [ast.unparse(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)]
        contents = {
            "config": json.dumps({"entry_point": source.name, "path": source.file_path}),
            "template": f"def {node.name}({ast.unparse(node.args)}):\n    raise NotImplementedError\n",
            "workflow": "\n".join(f"{number}. {call}" for number, call in enumerate(calls, 1)),
        }
        rows += [
            _row(
                f"{kind}:{source.file_path}:{source.name}",
                source.name,
                kind,
                json.dumps({"code": content}, ensure_ascii=False),
                "{}",
                source.file_path,
            )
            for kind, content in contents.items()
        ]
        if len(rows) == OTHER_TYPES_EACH * len(contents):
            break
    return rows


def _row(pattern_id: str, name: str, kind: str, data: str, metadata: str, file_path: str) -> Pattern:
    return Pattern(
        id=_id(pattern_id, "1.0.0"),
        pattern_id=pattern_id,
        pattern_name=name,
        pattern_type=kind,
        pattern_version="1.0.0",
        pattern_data=data,
        metadata=metadata,
        created_at=datetime.min,
        file_path=file_path,
        language="python",
    )


def _id(pattern_id: str, version: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"{pattern_id}@{version}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
