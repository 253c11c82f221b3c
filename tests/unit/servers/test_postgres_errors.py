"""What errors of PostgreSQL become, whichever driver raised them."""

import asyncpg
import psycopg
import pytest
from asyncpg.exceptions import PostgresError as AsyncpgError

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from code_patterns.servers.postgres import PostgresConfig
from code_patterns.servers.postgres_errors import Kind, connection_failure, diagnose, explain

CONFIG = PostgresConfig("patterns_postgres", "db", "patterns", "sync", "a-secret")


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", Kind.AWAY),
        ("25006", Kind.READ_ONLY),
        ("25P03", Kind.LIMIT),
        ("25P04", Kind.LIMIT),
        ("28P01", Kind.LOGIN),
        ("3D000", Kind.LOGIN),
        ("40P01", Kind.BUSY),
        ("42501", Kind.FORBIDDEN),
        ("42P01", Kind.INCOMPLETE),
        ("53300", Kind.BUSY),
        ("53400", Kind.LIMIT),
        ("55P03", Kind.BUSY),
        ("57014", Kind.BUSY),
        ("57P01", Kind.AWAY),
        ("57P03", Kind.AWAY),
        ("57P05", Kind.LIMIT),
        ("22001", Kind.REFUSED),
        ("23505", Kind.REFUSED),
    ],
)
def test_both_drivers_errors_mean_the_same(state: str, kind: Kind) -> None:
    for error in (psycopg.errors.lookup(state)("said"), AsyncpgError.new({"C": state, "M": "said"})):
        fault = diagnose(error)
        assert fault
        assert (fault.kind, fault.said) == (kind, "said")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("server closed the connection"), Kind.AWAY),
        (ConnectionResetError(), Kind.AWAY),
        (asyncpg.InterfaceError("connection is closed"), Kind.AWAY),
        (TimeoutError(), Kind.BUSY),
    ],
)
def test_errors_without_a_state(error: Exception, kind: Kind) -> None:
    fault = diagnose(error)
    assert fault
    assert fault.kind is kind


def test_an_error_of_something_else_is_none_of_postgresql() -> None:
    assert diagnose(ValueError("x")) is None


@pytest.mark.parametrize(
    ("state", "kind", "says"),
    [
        ("25006", ConfigurationError, "cannot be written: said, as on a replica. Name the primary server"),
        ("42501", ConfigurationError, "does not let the role 'sync' do this: said. Grant it the right"),
        ("42P01", ConfigurationError, "lacks what the run needs: said. Run schema_migration first"),
        ("57P01", OutageError, "went away during the run: said. Look."),
        ("25P03", ConfigurationError, "ended the run by the setting idle_in_transaction_session_timeout: said."),
        ("25P04", ConfigurationError, "by the setting transaction_timeout: said. The same would happen again: set it"),
        ("57P05", ConfigurationError, "by the setting idle_session_timeout: said"),
        (
            "53400",
            ConfigurationError,
            "by the setting temp_file_limit: said. The same would happen again: set it to -1",
        ),
        ("23505", ConfigurationError, "refused the run: said. Remove the cause, such as a trigger"),
    ],
)
def test_the_remedy_is_named(state: str, kind: type[PatternsError], says: str) -> None:
    fault = diagnose(psycopg.errors.lookup(state)("said"))
    assert fault
    error = explain(fault, "PostgreSQL", login="sync", doing="the run", if_away="Look.")
    assert type(error) is kind
    assert says in str(error)


@pytest.mark.parametrize(
    ("state", "kind", "code"),
    [
        ("28P01", ConfigurationError, Code.POSTGRES_LOGIN_REFUSED),
        ("28000", ConfigurationError, Code.POSTGRES_LOGIN_REFUSED),
        ("3D000", ConfigurationError, Code.POSTGRES_LOGIN_REFUSED),
        ("42501", ConfigurationError, Code.POSTGRES_LOGIN_REFUSED),
        ("53300", OutageError, Code.POSTGRES_BUSY),
        ("57P03", OutageError, Code.POSTGRES_AWAY),
        ("08001", OutageError, Code.POSTGRES_AWAY),
    ],
)
def test_a_failed_login(state: str, kind: type[PatternsError], code: Code) -> None:
    said = psycopg.OperationalError("connection failed")
    error = connection_failure(CONFIG, said, AsyncpgError.new({"C": state, "M": "said"}))
    assert (type(error), error.code) == (kind, code)
    assert "PostgreSQL refused connection 'patterns_postgres' (db:5432/patterns): connection failed" in str(error)
    assert "a-secret" not in str(error)
