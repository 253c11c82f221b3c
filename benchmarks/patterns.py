"""As many real patterns as asked for: functions of the running interpreter's standard library."""

import ast
import functools
import itertools
import json
import random
import sysconfig
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

SKIPPED_FOLDERS = {"__pycache__", "dist-packages", "idlelib", "lib2to3", "site-packages", "test", "tests"}
COPY = """
COPY pattern_lineage_nodes
    (id, pattern_id, pattern_name, pattern_type, pattern_data, metadata, file_path, language)
FROM STDIN
"""
INSERT = """
INSERT INTO pattern_lineage_nodes
    (id, pattern_id, pattern_name, pattern_type, pattern_data, metadata, file_path, language)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
CHANGE = """
UPDATE pattern_lineage_nodes
SET pattern_data = jsonb_set(pattern_data, '{code}', to_jsonb((pattern_data ->> 'code') || %(comment)s))
WHERE id IN (SELECT id FROM pattern_lineage_nodes WHERE id >= %(from_id)s ORDER BY id LIMIT %(count)s)
"""


@functools.cache
def functions() -> tuple[tuple[str, str, str], ...]:
    """(name, path, source) of every function, about 14,000 of 500 characters each, no two alike."""
    root = Path(sysconfig.get_path("stdlib"))
    found: dict[tuple[str, str, str], None] = {}
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root)
        if SKIPPED_FOLDERS & set(path.parts):
            continue
        text = file.read_text("utf-8", "replace")
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name, path.as_posix(), "".join(lines[node.lineno - 1 : node.end_lineno])] = None
    return tuple(found)


def rows(count: int) -> Iterator[tuple[str, ...]]:
    """Rows of the table, the same at every call; when functions run out, they come again with another last line."""
    # The same random ids at every call: rows of a real table do not arrive in id order.
    numbers = random.Random(count)  # noqa: S311 (ids of a benchmark)
    endless = ((variant, one) for variant in itertools.count() for one in functions())
    for index, (variant, (name, path, code)) in enumerate(itertools.islice(endless, count)):
        yield (
            str(uuid.UUID(int=numbers.getrandbits(128), version=4)),
            f"{path}:{name}:{index}",
            name,
            "code",
            json.dumps({"code": f"{code}\n# variant {variant}" if variant else code}),
            json.dumps({"lines": code.count("\n") + 1}),
            path,
            "python",
        )


def load(dsn: str, count: int) -> None:
    """Fill the table of a migrated database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for row in rows(count):
                copy.write_row(row)
        connection.execute("VACUUM ANALYZE pattern_lineage_nodes")


def change(dsn: str, count: int, comment: str) -> None:
    """Change the code of some rows, different ones at each call."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        parameters = {"comment": f"\n# {comment}", "from_id": uuid.uuid4(), "count": count}
        connection.execute(CHANGE, parameters)
