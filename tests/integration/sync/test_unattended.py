"""What calls for a stream, and what keeps it from asking."""

import asyncio
import logging

import pytest

from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sync.unattended import unattended
from tests.support.two_sides import TwoSides, rows

PATIENCE = 60.0


def test_a_database_without_the_tables_is_named_once_and_asked_less_and_less_often(
    sides: TwoSides, caplog: pytest.LogCaptureFixture
) -> None:
    """As before the first migration."""
    sides.insert(rows(1))
    sides.sync("full")
    sides.insert(rows(1, 10))
    sides.execute("ALTER TABLE pattern_sync_checkpoints RENAME TO away")
    tried = 0

    async def read() -> tuple[PostgresConfig, str]:
        nonlocal tried
        tried += 1
        if tried == 4:
            sides.execute("ALTER TABLE away RENAME TO pattern_sync_checkpoints")
        return sides.postgres, sides.collection

    async def called() -> None:
        async for _ in unattended(read):
            return

    with caplog.at_level(logging.INFO):
        asyncio.run(asyncio.wait_for(called(), PATIENCE))
    assert tried == 4
    told = [record.message for record in caplog.records if record.name == "code_patterns.sync.unattended"]
    assert len(told) == 2
    assert told[0].startswith("No stream is started at the moment. ")
    assert told[1].endswith("answers again.")
