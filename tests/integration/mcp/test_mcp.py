"""The server for agents over stdio, asked by the package's own client."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client

from code_patterns.codes import Code
from code_patterns.errors import OutageError
from code_patterns.mcp.server import LONGEST_CODE, build_server
from tests.conftest import ROOT
from tests.support.connections import connections_of, targets_file
from tests.support.two_sides import TwoSides, rows


def test_an_agent_searches_over_stdio(sides: TwoSides, tmp_path: Path) -> None:
    new = rows(4)
    sides.insert(new)
    sides.sync("full")
    name = new[0]["pattern_name"]
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "code_patterns.mcp", "--target", "team_a"],
        env={
            "PYTHONPATH": str(ROOT / "plugins"),
            **connections_of(sides),
            "AIRFLOW_VAR_PATTERNS_COLLECTION": "another",
            **targets_file(tmp_path, {"name": "team_a", "collection": sides.collection}),
        },
    )

    async def ask() -> tuple[Any, Any, Any, Any]:
        async with Client(stdio_client(parameters)) as client:
            found = await client.call_tool("search_patterns", {"text": name})
            one = await client.call_tool("get_pattern", {"pattern": str(new[0]["id"])})
            similar = await client.call_tool("similar_patterns", {"pattern": str(new[0]["id"]), "limit": 2})
            wrong = await client.call_tool("search_patterns", {"text": "x" * 20_001})
            return found, one, similar, wrong

    found, one, similar, wrong = asyncio.run(ask())
    assert str(new[0]["id"]) in [hit["id"] for hit in found.structured_content["hits"]]
    assert one.structured_content["pattern_name"] == name
    assert len(similar.structured_content["hits"]) == 2
    assert wrong.is_error
    assert "'text'" in wrong.content[0].text


class Broken:
    """Patterns that fail in two ways; one code is long."""

    async def search(self, fields: Any) -> Any:
        if fields.get("text") == "away":
            raise OutageError(Code.QDRANT_AWAY, "Qdrant is away.")
        if fields.get("text") == "unexpected":
            raise KeyError("a detail of the program")
        return {"hits": [{"id": "1", "code": "x" * (LONGEST_CODE + 1)}], "asked": dict(fields)}

    async def get(self, pattern: str) -> Any:
        raise KeyError(pattern)


def test_errors_for_people_are_told_and_others_are_not() -> None:
    async def ask() -> list[Any]:
        async with Client(build_server(Broken())) as client:
            texts = ("away", "unexpected", "long")
            answers = [await client.call_tool("search_patterns", {"text": text}) for text in texts]
            return [*answers, await client.call_tool("search_patterns", {"text": "x", "limit": 51})]

    away, unexpected, long, bound = asyncio.run(ask())
    assert "Qdrant is away." in away.content[0].text
    assert unexpected.is_error
    assert "detail" not in unexpected.content[0].text
    assert long.structured_content["hits"][0]["code"].endswith("[cut; get_pattern gives all of it]")
    assert bound.is_error
    assert "50" in bound.content[0].text


def test_without_the_package_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['mcp'] = None; from code_patterns.mcp.__main__ import main; sys.exit(main([]))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "pip install -r requirements-optional.txt" in done.stderr
