"""What the database does by itself for the pattern learning tables."""

import random
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from code_patterns.migrations.runner import apply
from tests.conftest import config_of

Connection = psycopg.Connection[dict[str, Any]]
DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def database(migrated_database: str) -> Iterator[Connection]:
    """A connection to a migrated database; rows are dicts."""
    with psycopg.connect(migrated_database, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def one(connection: Connection, statement: str, *values: Any) -> dict[str, Any]:
    (found,) = connection.execute(statement.encode(), values)
    return found


def template(connection: Connection, name: str = "retry", **columns: Any) -> UUID:
    columns = {"pattern_name": name, "pattern_type": "code", "language": "python", **columns}
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    statement = f"INSERT INTO pattern_templates ({names}) VALUES ({marks}) RETURNING id"
    return UUID(str(one(connection, statement, *columns.values())["id"]))


def use(connection: Connection, pattern_id: UUID, **columns: Any) -> dict[str, Any]:
    columns = {"pattern_id": pattern_id, **columns}
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    statement = f"INSERT INTO pattern_usage_events ({names}) VALUES ({marks}) RETURNING *"
    return one(connection, statement, *columns.values())


def stats(connection: Connection, pattern_id: UUID) -> tuple[Any, ...]:
    found = one(connection, "SELECT * FROM pattern_templates WHERE id = %s", pattern_id)
    return found["usage_count"], found["success_rate"], found["last_used_at"]


# --- templates and events


def test_defaults_of_a_template(database: Connection) -> None:
    found = one(database, "SELECT * FROM pattern_templates WHERE id = %s", template(database, complexity_score=5))
    defaults = {"confidence_score": 0.5, "usage_count": 0, "success_rate": 0.5, "complexity_score": 5}
    assert {name: found[name] for name in defaults} == defaults
    assert (found["is_deprecated"], found["created_by"], found["last_used_at"]) == (False, "system", None)
    assert found["discovered_at"] == found["updated_at"]


@pytest.mark.parametrize("language", ["python", None])
def test_a_template_is_unique_also_without_a_language(database: Connection, language: str | None) -> None:
    template(database, language=language)
    template(database, language="go")
    with pytest.raises(psycopg.errors.UniqueViolation):
        template(database, language=language)


@pytest.mark.parametrize("column", ["confidence_score", "success_rate"])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_shares_lie_between_0_and_1(database: Connection, column: str, value: float) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        template(database, **{column: value})


def test_an_update_moves_updated_at(database: Connection) -> None:
    pattern = template(database, updated_at=DAY)
    database.execute("UPDATE pattern_templates SET description = 'x' WHERE id = %s", [pattern])
    assert one(database, "SELECT updated_at FROM pattern_templates")["updated_at"] > DAY


def test_events_update_their_template(database: Connection) -> None:
    pattern, other = template(database), template(database, "other", usage_count=7)
    use(database, pattern, success=True, used_at=DAY)
    assert stats(database, pattern) == (1, 1.0, DAY)
    use(database, pattern, success=False, used_at=DAY - timedelta(days=3))
    use(database, pattern, success=True, used_at=DAY + timedelta(days=1))
    # An unknown outcome counts as use only.
    use(database, pattern, used_at=DAY)
    assert stats(database, pattern) == (4, pytest.approx(2 / 3), DAY + timedelta(days=1))
    assert stats(database, other) == (7, 0.5, None)


def test_events_of_one_statement_count_together(database: Connection) -> None:
    patterns = sorted(template(database, f"p{number}") for number in range(3))
    database.execute(
        "INSERT INTO pattern_usage_events (pattern_id, success, used_at) "
        "SELECT (%s::uuid[])[1 + number %% 3], number %% 2 = 0, %s FROM generate_series(0, 29) AS number",
        [patterns, DAY],
    )
    assert [stats(database, pattern) for pattern in patterns] == [(10, 0.5, DAY)] * 3


def counted(connection: Connection) -> list[tuple[Any, ...]]:
    """What every template's events say of it, by name: count, rate and last use."""
    found = connection.execute(
        "SELECT template.pattern_name, count(event.id) AS n, "
        "count(*) FILTER (WHERE success)::double precision / nullif(count(success), 0) AS rate, max(used_at) AS last "
        "FROM pattern_templates AS template LEFT JOIN pattern_usage_events AS event ON event.pattern_id = template.id "
        "GROUP BY template.id ORDER BY 1"
    )
    return [tuple(row.values()) for row in found]


def shown(connection: Connection) -> list[tuple[Any, ...]]:
    """What every template says of its events."""
    names = "pattern_name, usage_count, success_rate, last_used_at"
    return [tuple(r.values()) for r in connection.execute(f"SELECT {names} FROM pattern_templates ORDER BY 1".encode())]


def test_update_pattern_stats_counts_anew(database: Connection) -> None:
    pattern, unused = (
        template(database),
        template(database, "unused", usage_count=3, success_rate=0.9, last_used_at=DAY),
    )
    for success in (True, True, False, False):
        use(database, pattern, success=success, used_at=DAY)
    database.execute("ALTER TABLE pattern_usage_events DISABLE TRIGGER USER")
    database.execute("DELETE FROM pattern_usage_events WHERE NOT success")
    database.execute("ALTER TABLE pattern_usage_events ENABLE TRIGGER USER")
    assert stats(database, pattern) == (4, 0.5, DAY)
    for identity in (pattern, unused, uuid4()):
        database.execute("SELECT update_pattern_stats(%s)", [identity])
    assert stats(database, pattern) == (2, 1.0, DAY)
    # Without events nothing is known but their number.
    assert stats(database, unused) == (0, 0.9, DAY)
    use(database, pattern, success=False, used_at=DAY)
    assert stats(database, pattern) == (3, pytest.approx(2 / 3), DAY)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM pattern_usage_events WHERE NOT success",
        "DELETE FROM pattern_usage_events WHERE used_at > '2026-03-01Z'",
        "DELETE FROM pattern_usage_events WHERE success IS NULL",
        "UPDATE pattern_usage_events SET success = NOT success",
        "UPDATE pattern_usage_events SET success = NULL WHERE success",
        "UPDATE pattern_usage_events SET used_at = used_at - interval '1 day'",
        "UPDATE pattern_usage_events SET used_at = '2026-04-01Z' WHERE NOT success",
        "UPDATE pattern_usage_events SET pattern_id = (SELECT max(id::text)::uuid FROM pattern_templates)",
        """
        INSERT INTO pattern_usage_events (id, pattern_id, success, used_at)
        SELECT id, pattern_id, false, '2026-05-01Z' FROM pattern_usage_events
        UNION ALL SELECT gen_random_uuid(), pattern_id, true, used_at FROM pattern_usage_events
        ON CONFLICT (id) DO UPDATE SET success = excluded.success, used_at = excluded.used_at
        """,
        """
        WITH gone AS (
            DELETE FROM pattern_usage_events WHERE success RETURNING pattern_id
        ), changed AS (
            UPDATE pattern_usage_events SET success = true WHERE NOT success
        )
        INSERT INTO pattern_usage_events (pattern_id, success) SELECT pattern_id, false FROM gone
        """,
        """
        MERGE INTO pattern_usage_events AS event
        USING (SELECT id, success FROM pattern_usage_events UNION ALL SELECT NULL, true) AS given ON given.id = event.id
        WHEN MATCHED AND given.success THEN DELETE
        WHEN MATCHED THEN UPDATE SET success = true
        WHEN NOT MATCHED THEN INSERT (pattern_id, success)
            VALUES ((SELECT min(id::text)::uuid FROM pattern_templates), given.success)
        """,
        "DELETE FROM pattern_templates WHERE pattern_name = 'p0'",
    ],
)
def test_templates_follow_whatever_happens_to_their_events(database: Connection, statement: str) -> None:
    for number in range(3):
        pattern = template(database, f"p{number}")
        for use_number in range(2 + number):
            outcome = (True, False, None, True, None)[use_number]
            use(database, pattern, success=outcome, used_at=DAY + timedelta(hours=use_number))
    database.execute("UPDATE pattern_usage_events SET quality_after = 1")
    assert shown(database) == counted(database)
    database.execute(statement.encode())
    found = shown(database)
    # Without a known outcome the rate stays, and without an event the last use.
    for said, true in zip(found, counted(database), strict=True):
        assert said[1] == true[1]
        assert true[2] is None or said[2] == true[2]
        assert true[3] is None or said[3] == true[3]
    database.execute("SELECT update_pattern_stats(id) FROM pattern_templates")
    assert shown(database) == found


def test_truncated_events_are_counted_no_more(database: Connection) -> None:
    pattern, unused = template(database), template(database, "unused", usage_count=7)
    for success in (True, False):
        use(database, pattern, success=success, used_at=DAY)
    database.execute("TRUNCATE pattern_usage_events")
    assert (stats(database, pattern), stats(database, unused)) == ((0, 0.5, DAY), (7, 0.5, None))
    use(database, pattern, success=False, used_at=DAY)
    assert stats(database, pattern) == (1, 0.0, DAY)


def test_an_event_that_was_never_counted_can_go(database: Connection) -> None:
    pattern = template(database)
    database.execute("ALTER TABLE pattern_usage_events DISABLE TRIGGER USER")
    for success in (True, True, False):
        use(database, pattern, success=success, used_at=DAY)
    database.execute("ALTER TABLE pattern_usage_events ENABLE TRIGGER USER")
    database.execute("DELETE FROM pattern_usage_events WHERE success")
    assert stats(database, pattern) == (0, 0.5, DAY)
    database.execute("SELECT update_pattern_stats(%s)", [pattern])
    assert stats(database, pattern) == (1, 0.0, DAY)


def test_adopted_counts_that_never_agreed_stay_until_the_next_event(migrated_database: str) -> None:
    config = config_of(migrated_database)
    with psycopg.connect(migrated_database, autocommit=True, row_factory=dict_row) as database:
        patterns = [template(database, name) for name in ("used", "unused")]
        for success in (True, False, None):
            use(database, patterns[0], success=success, used_at=DAY)
        columns = "usage_count = 99, success_rate = 0.25, last_used_at = '2030-01-01Z'"
        database.execute(f"UPDATE pattern_templates SET {columns}".encode())
        apply(config, "down", 0, "run")
        assert one(database, "SELECT to_regclass('pattern_template_usage') AS counters")["counters"] is None
        apply(config, "up", None, "run")
        other = (99, 0.25, datetime(2030, 1, 1, tzinfo=UTC))
        assert [stats(database, pattern) for pattern in patterns] == [other, other]
        for pattern in patterns:
            use(database, pattern, success=True, used_at=DAY)
        assert [stats(database, pattern) for pattern in patterns] == [(4, pytest.approx(2 / 3), DAY), (1, 1.0, DAY)]


def test_concurrent_changes_of_events_are_all_counted(database: Connection, migrated_database: str) -> None:
    """Statements about several templates at once, in any order, and some that are rolled back."""
    patterns = [template(database, f"p{number}") for number in range(3)]
    some = "(SELECT id FROM pattern_usage_events ORDER BY random() LIMIT 4 FOR UPDATE SKIP LOCKED)"
    statements = (
        """
        INSERT INTO pattern_usage_events (pattern_id, success, used_at)
        SELECT id, (ARRAY[true, false, NULL])[1 + floor(random() * 3)::int], now() - random() * interval '9 days'
        FROM pattern_templates, generate_series(1, 3)
        """,
        f"DELETE FROM pattern_usage_events WHERE id IN {some}",
        f"UPDATE pattern_usage_events SET success = NOT success, used_at = used_at - interval '1 day' "
        f"WHERE id IN {some}",
        f"""
        UPDATE pattern_usage_events SET pattern_id = (SELECT id FROM pattern_templates ORDER BY random() LIMIT 1)
        WHERE id IN {some}
        """,
    )
    failures: list[Exception] = []

    def work(worker: int) -> None:
        chance = random.Random(worker)
        try:
            with psycopg.connect(migrated_database) as connection:
                for number in range(12):
                    chosen = statements[0] if number < 2 else chance.choice(statements)
                    try:
                        connection.execute(chosen.encode())
                    except psycopg.errors.DeadlockDetected:
                        connection.rollback()
                        continue
                    if chance.random() < 0.8:
                        connection.commit()
                    else:
                        connection.rollback()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[worker]) for worker in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    found = shown(database)
    assert found == counted(database)
    assert sum(row[1] for row in found) > 100
    for pattern in patterns:
        database.execute("SELECT update_pattern_stats(%s)", [pattern])
    assert shown(database) == found


@pytest.mark.parametrize(
    ("before", "after", "improvement"),
    [(0.25, 0.75, 0.5), (0, 0.5, 0.5), (0.5, 0, -0.5), (0, 0, 0), (0.5, 0.5, 0), (None, 0.5, None), (0.5, None, None)],
)
def test_the_improvement_is_the_databases_to_say(
    database: Connection, before: float | None, after: float | None, improvement: float | None
) -> None:
    pattern = template(database)
    event = use(database, pattern, quality_before=before, quality_after=after, quality_improvement=0.123)
    assert event["quality_improvement"] == improvement
    changed = "UPDATE pattern_usage_events SET quality_before = 1, quality_after = 0 RETURNING quality_improvement"
    assert one(database, changed)["quality_improvement"] == -1


def test_a_deleted_template_takes_what_hangs_on_it(database: Connection) -> None:
    pattern, other = template(database), template(database, "other")
    child = template(database, "child", parent_pattern_id=pattern, deprecated_by_id=pattern)
    use(database, pattern)
    database.execute(
        "INSERT INTO pattern_relationships (source_pattern_id, target_pattern_id, relationship_type) "
        "VALUES (%s, %s, 'x')",
        [other, pattern],
    )
    database.execute("SELECT compute_pattern_analytics(%s, %s, %s)", [DAY, DAY + timedelta(days=1), pattern])
    database.execute("DELETE FROM pattern_templates WHERE id = %s", [pattern])
    for table in ("pattern_usage_events", "pattern_relationships", "pattern_analytics"):
        assert one(database, f"SELECT count(*) AS n FROM {table}")["n"] == 0
    found = one(database, "SELECT parent_pattern_id, deprecated_by_id FROM pattern_templates WHERE id = %s", child)
    assert found == {"parent_pattern_id": None, "deprecated_by_id": None}


def test_rules_of_relationships(database: Connection) -> None:
    pattern, other = template(database), template(database, "other")
    statement = (
        "INSERT INTO pattern_relationships (source_pattern_id, target_pattern_id, relationship_type, strength) "
        "VALUES (%s, %s, 'similar', coalesce(%s, 0.5)) RETURNING strength"
    )
    assert one(database, statement, pattern, other, None) == {"strength": 0.5}
    one(database, statement, other, pattern, 1)
    with pytest.raises(psycopg.errors.UniqueViolation):
        one(database, statement, pattern, other, None)
    with pytest.raises(psycopg.errors.CheckViolation):
        one(database, statement, pattern, pattern, None)
    with pytest.raises(psycopg.errors.CheckViolation):
        database.execute("UPDATE pattern_relationships SET strength = 1.5")


# --- analytics


def compute(connection: Connection, pattern: UUID | None, days: int = 1) -> dict[str, Any]:
    called = "SELECT compute_pattern_analytics(%s, %s, %s) AS id"
    identity = one(connection, called, DAY, DAY + timedelta(days=days), pattern)["id"]
    return one(connection, "SELECT * FROM pattern_analytics WHERE id = %s", identity)


def test_analytics_of_a_period(database: Connection) -> None:
    pattern, other = template(database), template(database, "other")
    use(database, pattern, success=True, execution_time_ms=10, quality_before=0, quality_after=0.5, used_at=DAY)
    use(database, pattern, success=False, execution_time_ms=30, used_at=DAY + timedelta(hours=23))
    use(database, pattern, used_at=DAY + timedelta(hours=1))
    use(database, other, success=True, used_at=DAY + timedelta(hours=1))
    use(database, pattern, success=True, used_at=DAY + timedelta(days=1))  # the next period
    use(database, pattern, success=True, used_at=DAY - timedelta(hours=1))  # the one before

    found = compute(database, pattern)
    assert (found["total_usage_count"], found["success_count"], found["failure_count"]) == (3, 1, 1)
    assert (found["average_execution_time_ms"], found["average_quality_improvement"]) == (20, 0.5)
    assert found["top_patterns"] == [
        {
            "pattern_id": str(pattern),
            "pattern_name": "retry",
            "usage_count": 3,
            "success_rate": 0.5,
            "avg_quality_improvement": 0.5,
        }
    ]
    assert (found["trend_direction"], found["trend_strength"]) == ("increasing", pytest.approx(2 / 3))

    everything = compute(database, None)
    assert (everything["total_usage_count"], everything["success_count"], everything["failure_count"]) == (4, 2, 1)
    assert [entry["pattern_name"] for entry in everything["top_patterns"]] == ["retry", "other"]
    assert everything["pattern_id"] is None


@pytest.mark.parametrize(
    ("before", "now", "direction", "strength"),
    [
        (0, 0, "stable", 0),
        (0, 3, "increasing", 1),
        (4, 1, "decreasing", 0.75),
        (2, 2, "stable", 0),
        (2, 0, "decreasing", 1),
    ],
)
def test_trends(database: Connection, before: int, now: int, direction: str, strength: float) -> None:
    pattern = template(database)
    for count, moment in ((before, DAY - timedelta(hours=1)), (now, DAY)):
        for _ in range(count):
            use(database, pattern, used_at=moment)
    found = compute(database, pattern)
    assert (found["trend_direction"], found["trend_strength"]) == (direction, strength)


@pytest.mark.parametrize("everything", [True, False])
def test_computing_a_period_again_replaces_its_row(database: Connection, everything: bool) -> None:
    pattern = template(database)
    chosen = None if everything else pattern
    first = compute(database, chosen)
    use(database, pattern, used_at=DAY)
    second = compute(database, chosen)
    assert (first["id"], first["total_usage_count"]) == (second["id"], 0)
    assert second["total_usage_count"] == 1
    assert second["computed_at"] > first["computed_at"]
    compute(database, chosen, days=2)
    assert one(database, "SELECT count(*) AS n FROM pattern_analytics")["n"] == 2


def test_arguments_go_by_name_and_nonsense_is_refused(database: Connection) -> None:
    call = "SELECT compute_pattern_analytics(period_start => %s, period_end => %s) AS id"
    assert one(database, call, DAY, DAY + timedelta(days=1))["id"]
    for start, end in ((DAY, DAY), (DAY + timedelta(1), DAY), (None, DAY), (DAY, None)):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"The period from .* is empty"):
            one(database, call, start, end)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        compute(database, uuid4())


# --- views


def test_top_patterns(database: Connection) -> None:
    database.execute("SET TimeZone = 'Asia/Tokyo'")
    names = [template(database, name) for name in ("often", "seldom", "never")]
    template(database, "deprecated", is_deprecated=True, usage_count=99)
    recent = datetime.now(UTC) - timedelta(days=1)
    for used_at in (DAY - timedelta(days=900), recent, recent):
        use(database, names[0], success=True, quality_before=0, quality_after=0.5, used_at=used_at)
    use(database, names[1], success=False, used_at=recent)
    found = database.execute("SELECT * FROM v_top_patterns").fetchall()
    assert list(found[0]) == [
        "id",
        "pattern_name",
        "pattern_type",
        "language",
        "usage_count",
        "success_rate",
        "confidence_score",
        "avg_quality_improvement",
        "recent_usage_count",
        "last_used_at",
    ]
    assert [(row["pattern_name"], row["usage_count"], row["recent_usage_count"]) for row in found] == [
        ("often", 3, 2),
        ("seldom", 1, 1),
        ("never", 0, 0),
    ]
    assert [row["avg_quality_improvement"] for row in found] == [0.5, None, None]


def test_quality_trends_by_day_of_utc(database: Connection) -> None:
    database.execute("SET TimeZone = 'Asia/Tokyo'")
    pattern = template(database)
    use(database, pattern, success=True, quality_before=0, quality_after=0.5, used_at=DAY)
    use(database, pattern, success=False, quality_before=1, quality_after=0.5, used_at=DAY + timedelta(hours=23))
    use(database, pattern, success=True, used_at=DAY + timedelta(days=1))
    found = database.execute("SELECT * FROM v_pattern_quality_trends ORDER BY usage_date").fetchall()
    assert list(found[0]) == (
        ["id", "pattern_name", "pattern_type", "usage_date", "usage_count", "avg_quality_improvement", "success_rate"]
    )
    assert [tuple(row.values())[3:] for row in found] == [
        (date(2026, 3, 1), 2, 0.0, 0.5),
        (date(2026, 3, 2), 1, None, 1.0),
    ]
