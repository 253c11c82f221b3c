"""Which database the storage layer takes, which manager is shared, and what is sent twice."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from code_patterns.errors import ConfigurationError
from pattern_learning import ModelResult, close_pattern_db_manager, get_pattern_db_manager
from pattern_learning.database_choice import choose_database
from tests.support.learning_database import Layer, LearningDatabase


def test_the_environment_names_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "one", "PORT": "5433", "NAME": "db", "USER": "me", "PASSWORD": "pw"}.items():
        monkeypatch.setenv(f"TRACEABILITY_DB_{name}", value)
    config = asyncio.run(choose_database(None))
    assert (config.host, config.port, config.database, config.user, config.password) == ("one", 5433, "db", "me", "pw")
    monkeypatch.setenv("TRACEABILITY_DB_URL", "postgresql://me:pw@two/db")
    assert asyncio.run(choose_database(None)).host == "two"
    monkeypatch.setenv("TRACEABILITY_DB_URL_EXTERNAL", "postgresql://me:pw@three/db")
    assert asyncio.run(choose_database(None)).host == "three"
    assert asyncio.run(choose_database("postgresql://me:pw@four/db")).host == "four"


def test_a_half_named_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEABILITY_DB_HOST", "one")
    with pytest.raises(ConfigurationError, match="TRACEABILITY_DB_HOST, but not TRACEABILITY_DB_NAME"):
        asyncio.run(choose_database(None))


def test_one_manager_per_url_and_none_left_open(learning: LearningDatabase) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(learning.dsn)
    keep = {name: parts[name] for name in ("host", "port", "user", "password", "dbname") if parts.get(name)}
    url = psycopg.conninfo.make_conninfo(**keep)
    other = psycopg.conninfo.make_conninfo(**{**keep, "dbname": "template1"})

    async def main() -> None:
        manager = await get_pattern_db_manager(url)
        assert await get_pattern_db_manager(url) is manager
        second = await get_pattern_db_manager(other)
        async with second.acquire() as connection:
            assert await connection.fetchval("SELECT current_database()") == "template1"
        await close_pattern_db_manager()
        for closed in (manager, second):
            assert (await closed.get_pool_stats())["pool_size"] == 0
        assert await get_pattern_db_manager(url) is not manager
        await close_pattern_db_manager()

    asyncio.run(main())


def test_an_event_that_is_sent_twice_counts_once(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> None:
        pattern, other = await layer.store("one"), await layer.store("two")
        usage = {"event_id": str(uuid4()), "success": True}
        first = await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
        assert await layer.do("record_usage", pattern_id=pattern, usage_data=usage) == first
        assert (await layer.do("update_stats", pattern_id=pattern))["usage_count"] == 1
        assert "already exists" in await layer.refused("record_usage", pattern_id=other, usage_data=usage)

    learning.use(work)
    assert learning.counts()["pattern_usage_events"] == 1
    assert learning.rows("SELECT usage_count FROM pattern_templates ORDER BY pattern_name") == [
        {"usage_count": 1},
        {"usage_count": 0},
    ]


def test_a_result_as_a_dict() -> None:
    assert ModelResult(True, 1).to_dict() == {"success": True, "data": 1, "error": None, "metadata": {}}
