"""Tokens of Qdrant with few rights; only a server with ``jwt_rbac`` and a key knows them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.servers.qdrant import Qdrant
from code_patterns.servers.qdrant_config import QdrantConfig
from tests.integration.search.conftest import find
from tests.support.two_sides import TwoSides, rows

With = Callable[[Any], TwoSides]


@pytest.fixture
def with_access(sides: TwoSides) -> With:
    """Both sides, with a token for Qdrant that has this access."""
    key = sides.qdrant.api_key
    if not sides.qdrant.url or not key:
        pytest.skip("PATTERNS_TEST_QDRANT_URL and PATTERNS_TEST_QDRANT_API_KEY name no server with a key")

    def made(access: Any) -> TwoSides:
        token = jwt.encode({"access": access}, key, "HS256")
        return replace(sides, qdrant=replace(sides.qdrant, api_key=token))

    try:
        asyncio.run(collections(made("r").qdrant))
    except ConfigurationError:
        pytest.skip("the server takes no tokens: service.jwt_rbac is off")
    return made


async def collections(config: QdrantConfig) -> Any:
    async with Qdrant.open(config) as qdrant:
        return await qdrant.call("listing the collections", qdrant.client.get_collections, attempts=1)


@pytest.mark.remedy(Code.QDRANT_KEY_REFUSED)
def test_a_run_needs_a_key_for_the_server(with_access: With) -> None:
    manager = with_access("m")
    manager.insert(rows(3))
    assert manager.sync("full").parity == "proven"
    [(physical,)] = manager.execute("SELECT collection FROM pattern_sync_checkpoints")
    both = [{"collection": name, "access": "rw"} for name in (manager.collection, physical)]
    manager.insert(rows(1, start=10))
    before = manager.points()
    for access in (both, both[:1], "r"):
        with pytest.raises(ConfigurationError, match=r"refused with status 403.*in a JWT the access 'm'"):
            with_access(access).sync()
    assert manager.points() == before
    assert manager.sync().counts["new"] == 1
    manager.assert_equal_sides()


def test_a_search_needs_to_read_the_alias(with_access: With) -> None:
    manager = with_access("m")
    manager.insert(rows(3))
    manager.sync("full")
    name = rows(1)[0]["pattern_name"]
    for access in ("r", [{"collection": manager.collection, "access": "r"}]):
        assert find(with_access(access), name).hits
    with pytest.raises(ConfigurationError, match="refused with status 403"):
        find(with_access([{"collection": "another", "access": "r"}]), name)
