"""Databases that others use too: what is theirs stays as it is, and what cannot stay is named first."""

import re
import uuid
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from code_patterns.errors import ConfigurationError
from code_patterns.migrations.files import read_migrations
from code_patterns.migrations.runner import apply, plan, verify
from tests.conftest import ROOT, config_of
from tests.integration.migrations.test_migrations import rows, up
from tests.support.learning_database import Layer, LearningDatabase, template

NEWEST = read_migrations()[-1].version
DATABASES = ROOT / "tests" / "support" / "databases"
TAKEN = "pattern_relationships is not the table of this project"


def prepare(dsn: str, name: str, *, filled: bool) -> str:
    """Make a database as others have it."""
    for file in (name, f"{name}_rows") if filled else (name,):
        rows(dsn, (DATABASES / f"{file}.sql").read_text())
    return dsn


def shape(dsn: str, *tables: str) -> list[Any]:
    """Columns, keys, indexes, triggers and comments of tables."""
    named = f"ANY ('{{{','.join(tables)}}}'::text[])"
    return rows(
        dsn,
        f"""
        SELECT class.oid, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
        FROM pg_class AS class JOIN pg_attribute ON attrelid = class.oid AND attnum > 0 AND NOT attisdropped
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relname = {named} ORDER BY 1, attnum
        """,
    ) + rows(
        dsn,
        f"""
        SELECT pg_get_constraintdef(oid), conname FROM pg_constraint WHERE conrelid::regclass::text = {named}
        UNION ALL
        SELECT pg_get_indexdef(indexrelid), '' FROM pg_index WHERE indrelid::regclass::text = {named}
        UNION ALL
        SELECT pg_get_triggerdef(oid), '' FROM pg_trigger
        WHERE NOT tgisinternal AND tgrelid::regclass::text = {named}
        UNION ALL
        SELECT coalesce(obj_description(oid, 'pg_class'), ''), '' FROM pg_class WHERE relname = {named}
        ORDER BY 1, 2
        """,
    )


# --- somebody else has the name pattern_relationships


@pytest.mark.parametrize("filled", [True, False], ids=["rows", "empty"])
def test_the_relationships_of_somebody_else_are_left_alone(empty_database: str, filled: bool) -> None:
    dsn = prepare(empty_database, "lineage_neighbour", filled=filled)
    theirs = ("pattern_relationships", "agent_manifest_injections")
    before = shape(dsn, *theirs), rows(dsn, "SELECT * FROM pattern_relationships ORDER BY id")
    planned = plan(config_of(dsn), "up", None)
    assert planned.notes[0].startswith(TAKEN)
    assert "pattern_template_relationships" in planned.notes[0]

    up(dsn)
    assert verify(config_of(dsn)).version == NEWEST
    assert (shape(dsn, *theirs), rows(dsn, "SELECT * FROM pattern_relationships ORDER BY id")) == before
    assert rows(dsn, "SELECT relkind FROM pg_class WHERE relname = 'pattern_template_relationships'") == [("r",)]
    # Recorded, and shown again by every later plan.
    [(noted,)] = rows(dsn, "SELECT notes FROM pattern_schema_migrations WHERE version = 1")
    assert noted[0].startswith(TAKEN)
    assert plan(config_of(dsn), "up", None).notes[0].startswith(TAKEN)
    assert plan(config_of(dsn), "down", 0).notes[0].startswith(TAKEN)


def test_the_readers_and_writers_of_somebody_else_go_on(empty_database: str) -> None:
    dsn = prepare(empty_database, "lineage_neighbour", filled=True)
    up(dsn)
    first, second = (f"00000000-0000-0000-0000-{number:012}" for number in (1, 9))
    rows(
        dsn,
        f"""
        INSERT INTO pattern_relationships (source_pattern_id, target_pattern_id, relationship_type, confidence)
        VALUES ('{first}', '{second}', 'similar', 0.9);
        INSERT INTO agent_manifest_injections (agent_name, patterns) VALUES ('other', ARRAY['{first}'::uuid]);
        """,
    )
    assert rows(dsn, f"SELECT confidence FROM strong_relationships WHERE source_pattern_id = '{first}'")
    counted = f"SELECT usage_count, used_by_agents, sync_xid FROM pattern_lineage_nodes WHERE id = '{first}'"
    # Counting a use is no change for the sync.
    assert rows(dsn, counted) == [(2, ["agent", "other"], None)]
    rows(dsn, f"DELETE FROM pattern_lineage_nodes WHERE id = '{first}'")
    assert rows(dsn, f"SELECT id FROM pattern_relationships WHERE source_pattern_id = '{first}'") == []
    assert len(rows(dsn, f"SELECT node_id FROM pattern_sync_tombstones WHERE node_id = '{first}'")) == 1


def test_the_storage_layer_finds_its_relationships(empty_database: str) -> None:
    dsn = prepare(empty_database, "lineage_neighbour", filled=True)
    up(dsn)
    before = rows(dsn, "SELECT * FROM pattern_relationships ORDER BY id")
    assert relate(LearningDatabase(dsn)) == [("b", "similar", 0.9)]
    assert rows(dsn, "SELECT relationship_type, strength FROM pattern_template_relationships") == [("similar", 0.9)]
    assert rows(dsn, "SELECT * FROM pattern_relationships ORDER BY id") == before


def test_on_an_empty_database_the_documented_name_stays(learning: LearningDatabase) -> None:
    assert relate(learning) == [("b", "similar", 0.9)]
    assert rows(learning.dsn, "SELECT relationship_type, strength FROM pattern_relationships") == [("similar", 0.9)]


def test_whoever_may_write_relationships_may_use_the_storage_layer(learning: LearningDatabase, role: str) -> None:
    """The name that the layer uses is a view; it takes no right but those of the table."""
    for table in ("pattern_relationships", "pattern_template_relationships"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rows(as_role(learning.dsn, role), f"SELECT FROM {table}")
    rows(learning.dsn, f"GRANT SELECT ON pattern_relationships TO {role}")
    assert rows(as_role(learning.dsn, role), "SELECT id FROM pattern_template_relationships") == []
    rows(learning.dsn, f"DROP OWNED BY {role}")


def relate(database: LearningDatabase) -> list[tuple[Any, ...]]:
    async def work(layer: Layer) -> list[tuple[Any, ...]]:
        source, target = await layer.store("a"), await layer.store("b")
        ends = {"source_pattern_id": source, "target_pattern_id": target, "relationship_type": "similar"}
        first = await layer.do("create_relationship", relationship_data=ends)
        await layer.do("update_relationship", relationship_data={**ends, "strength": 0.7, "context": {"k": 1}})
        again = await layer.do("create_relationship", relationship_data={**ends, "strength": 0.9})
        assert again["relationship_id"] == first["relationship_id"]
        found = await layer.do("get_related", pattern_id=source)
        return [(row["pattern_name"], row["relationship_type"], row["strength"]) for row in found]

    return list(database.use(work))


def test_the_choice_outlives_rollbacks_and_the_other_table(empty_database: str) -> None:
    dsn = prepare(empty_database, "lineage_neighbour", filled=True)
    up(dsn)
    before = shape(dsn, "pattern_relationships"), rows(dsn, "SELECT * FROM pattern_relationships ORDER BY id")
    relate(LearningDatabase(dsn))
    kept = rows(dsn, "SELECT * FROM pattern_template_relationships")
    apply(config_of(dsn), "down", 0, "run")
    assert (shape(dsn, "pattern_relationships"), rows(dsn, "SELECT * FROM pattern_relationships ORDER BY id")) == before
    # It holds rows, so it stays, and with it the choice; also when the other table is gone.
    assert rows(dsn, "SELECT * FROM pattern_template_relationships") == kept
    rows(dsn, "DROP TABLE pattern_relationships CASCADE")
    up(dsn)
    assert rows(dsn, "SELECT * FROM pattern_template_relationships") == kept
    assert rows(dsn, "SELECT to_regclass('pattern_relationships')") == [(None,)]
    assert verify(config_of(dsn)).version == NEWEST


@pytest.mark.parametrize(
    "table",
    [
        "CREATE VIEW pattern_relationships AS SELECT 1 AS strength",
        "CREATE TABLE nodes (id uuid PRIMARY KEY); CREATE TABLE pattern_relationships (id uuid, strength float8, "
        "source_pattern_id uuid REFERENCES nodes)",
        "CREATE TABLE pattern_relationships (a text)",
    ],
)
def test_what_is_not_ours_is_seen_by_what_it_is(empty_database: str, table: str) -> None:
    rows(empty_database, table)
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST
    assert relate(LearningDatabase(empty_database)) == [("b", "similar", 0.9)]


def test_damage_to_the_table_apart_is_found_and_repaired(empty_database: str) -> None:
    prepare(empty_database, "lineage_neighbour", filled=False)
    up(empty_database)
    rows(empty_database, "ALTER TABLE pattern_template_relationships DROP COLUMN strength")
    with pytest.raises(ConfigurationError, match=r"pattern_relationships\.strength.*applies 001 again"):
        verify(config_of(empty_database))
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST


# --- types, views, rules and functions of others


@pytest.mark.parametrize("filled", [True, False], ids=["rows", "empty"])
def test_narrow_types_and_whatever_reads_them_stay(empty_database: str, filled: bool) -> None:
    dsn = prepare(empty_database, "quality_neighbour", filled=filled)
    readers = ("quality_overview", "confident", "quality_audit", "reviews", "schema_migrations", "schema_versions")
    before = shape(dsn, *readers), shape(dsn, "pattern_quality_metrics")
    up(dsn)
    assert verify(config_of(dsn)).version == NEWEST
    assert shape(dsn, *readers) == before[0]
    gone = ("FOREIGN KEY (pattern_id) REFERENCES pattern_lineage_nodes(id) ON DELETE CASCADE",)
    after = shape(dsn, "pattern_quality_metrics")
    # 013 takes the key, and nothing is added but comments.
    assert [line for line in before[1] if line not in after and line[0] not in (*gone, "")] == []
    assert [line for line in after if line not in before[1]] == [("The current quality score of each pattern.", "")]
    types = dict(row[1:3] for row in after if len(row) == 5)
    assert (types["version"], types["quality_score"]) == ("character varying(50)", "numeric(3,2)")
    assert rows(dsn, "SELECT count(*) FROM schema_migrations, schema_versions") == [(1 if filled else 0,)]

    score = uuid.uuid4()
    # As the quality backfill stores it, for a pattern without lineage.
    rows(
        dsn,
        "INSERT INTO pattern_quality_metrics (pattern_id, quality_score, confidence, version) "
        f"VALUES ('{score}', 0.5, 1, '2.0.0') "
        "ON CONFLICT (pattern_id) DO UPDATE SET quality_score = excluded.quality_score",
    )
    [latest] = rows(dsn, f"SELECT quality_score, version FROM get_latest_quality_metric('{score}')")
    assert [str(value) for value in latest] == ["0.50", "2.0.0"]
    assert rows(dsn, "SELECT pattern_id FROM newest_metric()") == [(score,)]
    rows(dsn, "REFRESH MATERIALIZED VIEW confident")
    assert (score,) in rows(dsn, "SELECT pattern_id FROM confident")
    assert rows(dsn, "SELECT sum(patterns)::int FROM v_quality_distribution") == [(6 if filled else 1,)]


def test_times_of_any_precision_stay(empty_database: str) -> None:
    """As Prisma and Hibernate make them."""
    rows(
        empty_database,
        "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), pattern_data jsonb, "
        "created_at timestamptz(6) DEFAULT now(), updated_at timestamptz(3));"
        "INSERT INTO pattern_lineage_nodes (pattern_data, updated_at) VALUES ('{}', '2026-01-01 12:00+00')",
    )
    planned = plan(config_of(empty_database), "up", None)
    assert planned.obstacles == ()
    assert "Column pattern_lineage_nodes.updated_at exists and is adopted." in planned.notes
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST
    kept = "updated_at = '2026-01-01 12:00+00', format_type(atttypid, atttypmod)"
    assert rows(
        empty_database,
        f"SELECT {kept} FROM pattern_lineage_nodes JOIN pg_attribute ON attrelid = 'pattern_lineage_nodes'::regclass "
        "WHERE attname IN ('created_at', 'updated_at') ORDER BY attnum",
    ) == [(True, "timestamp(6) with time zone"), (True, "timestamp(3) with time zone")]
    rows(empty_database, "UPDATE pattern_lineage_nodes SET pattern_name = 'changed'")
    assert rows(empty_database, "SELECT now() - updated_at < interval '1 minute' FROM pattern_lineage_nodes") == [
        (True,)
    ]


@pytest.mark.parametrize(
    ("kind", "value", "time"),
    [
        ("timestamp(6)", "2026-01-01 12:00", "2026-01-01 12:00+00"),
        ("timestamp", "2026-01-01 12:00", "2026-01-01 12:00+00"),
        ("text", "2026-01-01 12:00+02", "2026-01-01 10:00+00"),
    ],
)
def test_the_statement_for_a_time_keeps_it(empty_database: str, kind: str, value: str, time: str) -> None:
    """Whatever the time zone of whoever runs it."""
    rows(
        empty_database,
        "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), pattern_data jsonb, "
        f"created_at {kind}, updated_at {kind}); INSERT INTO pattern_lineage_nodes (pattern_data, created_at, "
        f"updated_at) VALUES ('{{}}', '{value}', '{value}')",
    )
    obstacles = plan(config_of(empty_database), "up", None).obstacles
    statements = [found[0] for found in (re.search(r"ALTER TABLE .*;", each) for each in obstacles) if found]
    assert len(statements) == len(obstacles) == 2
    rows(empty_database, "SET timezone = 'Europe/Berlin'; " + " ".join(statements))
    assert plan(config_of(empty_database), "up", None).obstacles == ()
    same = f"SELECT created_at = '{time}', updated_at = '{time}' FROM pattern_lineage_nodes"
    assert rows(empty_database, same) == [(True, True)]


def test_the_learning_tables_of_before_stay_as_they_are(empty_database: str) -> None:
    dsn = prepare(empty_database, "learning_neighbour", filled=True)
    readers = ("v_top_patterns", "v_pattern_quality_trends", "improving", "favourites")
    columns = """
        SELECT attrelid, attname, format_type(atttypid, atttypmod), attgenerated FROM pg_attribute
        WHERE attnum > 0 AND attrelid IN ('pattern_templates'::regclass, 'pattern_usage_events'::regclass) ORDER BY 1, 2
    """
    before = shape(dsn, *readers), rows(dsn, columns)
    planned = plan(config_of(dsn), "up", None)
    assert planned.obstacles == ()
    assert any(note.startswith("Materialized view v_top_patterns stays as it is") for note in planned.notes)
    assert any("v_pattern_quality_trends stays as it is; read by improving" in note for note in planned.notes)
    up(dsn)
    assert verify(config_of(dsn)).version == NEWEST
    assert (shape(dsn, *readers), rows(dsn, columns)) == before
    assert rows(dsn, "SELECT pattern_name FROM best_template()")

    # Their trigger counts each event, and so do ours: the number is right.
    rows(
        dsn,
        "INSERT INTO pattern_usage_events (pattern_id, success, quality_before, quality_after) "
        "SELECT id, false, 0.5, 0.25 FROM pattern_templates WHERE pattern_name = 'template 1'",
    )
    assert rows(
        dsn, "SELECT usage_count, success_rate::float8 FROM pattern_templates WHERE pattern_name = 'template 1'"
    ) == [(4, 0.75)]
    apply(config_of(dsn), "down", 0, "run")
    assert (shape(dsn, *readers), rows(dsn, columns)) == before
    assert rows(dsn, "SELECT count(*) FROM pattern_usage_events") == [(16,)]


def test_the_storage_layer_works_on_the_learning_tables_of_before(empty_database: str) -> None:
    dsn = prepare(empty_database, "learning_neighbour", filled=True)
    up(dsn)

    async def work(layer: Layer) -> None:
        pattern = await layer.store("new", template_code="pass", tags=["x", "y"], context={"a": 1}, complexity_score=5)
        found = await layer.do("get_by_id", pattern_id=pattern)
        assert (found["confidence_score"], found["complexity_score"]) == (0.5, 5)
        assert type(found["confidence_score"]) is float
        assert (found["tags"], found["context"]) == (["x", "y"], {"a": 1})
        for conditions in ({"tags": ["y"]}, {"context": {"a": 1}}, {"min_confidence_score": 0.5, "language": "python"}):
            names = [row["pattern_name"] for row in await layer.do("filter", filters=conditions)]
            assert "new" in names
        usage = {"success": True, "quality_before": 0.25, "quality_after": 0.75}
        recorded = await layer.do("record_usage", pattern_id=pattern, usage_data=usage)
        assert recorded["quality_improvement"] == 0.5
        await layer.do("update", pattern_id=pattern, data={"context": {"b": 2}, "tags": ["z"]})
        assert (await layer.do("get_effectiveness", pattern_id=pattern))["avg_quality_improvement"] == 0.5
        for which in ({"pattern_id": pattern}, {}):
            for row in await layer.do("get_quality_trends", **which):
                assert all(isinstance(row[name], float | None) for name in row if name.startswith("avg_"))
        assert {type(value) for row in await layer.do("get_top") for value in row.values()}.isdisjoint({Jsonb})
        await layer.do("get_global_stats")
        await layer.do("batch_insert", patterns=[template("other", template_code="x", tags=["t"], context={"c": 3})])
        await layer.do("delete", pattern_id=pattern)

    LearningDatabase(dsn).use(work)


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (
            "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, created_at timestamp, pattern_data jsonb);"
            "CREATE VIEW recent AS SELECT created_at FROM pattern_lineage_nodes;"
            "CREATE MATERIALIZED VIEW days AS SELECT created_at::date FROM pattern_lineage_nodes;",
            r"created_at has type timestamp without time zone where .* is needed\. Whatever depends on it has to be "
            r"dropped before and made again after that: materialized view days, view recent\. .*ALTER "
            r"TABLE pattern_lineage_nodes ALTER COLUMN created_at TYPE timestamp with time zone USING created_at AT ",
        ),
        (
            "CREATE FUNCTION update_pattern_stats(p uuid) RETURNS int LANGUAGE sql AS 'SELECT 1';"
            "CREATE VIEW counted AS SELECT update_pattern_stats(NULL);",
            r"Function update_pattern_stats\(uuid\) has other parameters .* these depend on it: view counted\. .*"
            r"ALTER FUNCTION update_pattern_stats\(uuid\) RENAME TO update_pattern_stats_of_before;",
        ),
        (
            "CREATE TABLE nodes (id uuid PRIMARY KEY); CREATE TABLE pattern_usage_events (id uuid PRIMARY KEY, "
            "pattern_id uuid NOT NULL CONSTRAINT theirs REFERENCES nodes);",
            r"key theirs leads from pattern_usage_events\.pattern_id to nodes, where pattern_templates is needed",
        ),
        (
            "CREATE TABLE pattern_templates (id uuid PRIMARY KEY, pattern_name text, pattern_type text, "
            "confidence_score numeric); INSERT INTO pattern_templates VALUES (gen_random_uuid(), 'p', 'code', 85);",
            r"1 rows of pattern_templates break the rule CHECK .*SELECT \* FROM pattern_templates WHERE NOT",
        ),
        (
            "CREATE TABLE pattern_usage_events (id uuid PRIMARY KEY, pattern_id uuid); CREATE TABLE pattern_templates "
            "(id uuid PRIMARY KEY, pattern_name text NOT NULL, pattern_type text NOT NULL);"
            "INSERT INTO pattern_usage_events VALUES (gen_random_uuid(), gen_random_uuid());",
            "1 rows of pattern_usage_events have a pattern_id that is not in pattern_templates",
        ),
        (
            "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb, updated_at timestamp);",
            "Column pattern_lineage_nodes.updated_at has type timestamp without time zone",
        ),
        (
            "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb, sync_xid bigint);",
            r"sync_xid has type bigint where xid8 is needed.* RENAME COLUMN sync_xid TO sync_xid_of_before;",
        ),
        (
            "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb, metadata jsonb, "
            "language varchar(50) GENERATED ALWAYS AS (metadata ->> 'language') STORED);",
            r"language is generated, so that no trigger can see when it changes.* COLUMN language DROP EXPRESSION;",
        ),
        (
            "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb, created_at timestamptz, "
            "updated_at timestamptz GENERATED ALWAYS AS (created_at) STORED);",
            r"updated_at is generated, so that no trigger can stamp it",
        ),
        (
            "CREATE VIEW v_quality_distribution AS SELECT 1 AS tier_number",
            r"v_quality_distribution exists and was not made by a migration.*VIEW v_quality_distribution RENAME TO",
        ),
        (
            "CREATE TABLE v_quality_worst_patterns (pattern_id uuid)",
            r"ALTER TABLE v_quality_worst_patterns RENAME TO v_quality_worst_patterns_of_before;",
        ),
        (
            "CREATE TABLE pattern_quality_runs (id serial, status text)",
            r"pattern_quality_runs exists and has no column average_score, collections, .*, id, .*"
            r"TABLE pattern_quality_runs RENAME TO",
        ),
        (
            "CREATE TABLE pattern_sync_tombstones (node_id uuid, sync_xid bigint)",
            r"tombstones exists and has no column deleted_at, sync_xid of .*pattern_sync_tombstones RENAME",
        ),
        ("CREATE SEQUENCE pattern_sync_outbox", r"not a table.* ALTER SEQUENCE pattern_sync_outbox RENAME TO"),
        (
            "CREATE TABLE pattern_template_usage (id int)",
            "usage exists and has no column events, known, ",
        ),
        (
            "CREATE VIEW pattern_template_relationships AS SELECT 1 AS id",
            "pattern_template_relationships exists and was not made by a migration",
        ),
        (
            "CREATE TABLE pattern_usage_events (id uuid PRIMARY KEY, pattern_id uuid NOT NULL, used_at timestamptz);"
            "CREATE INDEX ON pattern_usage_events (used_at DESC);",
            r"is not the index on pattern_usage_events USING btree \(used_at\).* ALTER INDEX",
        ),
        (
            "CREATE TABLE pattern_templates (id uuid NOT NULL, pattern_name text, pattern_type text NOT NULL, "
            "PRIMARY KEY (pattern_name, pattern_type))",
            r"primary key pattern_templates_pkey .* DROP CONSTRAINT pattern_templates_pkey, ADD UNIQUE \(pattern_name, "
            r"pattern_type\), ADD PRIMARY KEY \(id\);",
        ),
        (
            "CREATE TABLE parts (id uuid NOT NULL, pattern_type text, pattern_data jsonb NOT NULL) PARTITION BY LIST "
            "(pattern_type); CREATE TABLE pattern_lineage_nodes PARTITION OF parts FOR VALUES IN ('code')",
            "is a partition of parts, .* DETACH PARTITION pattern_lineage_nodes;",
        ),
        (
            "CREATE UNLOGGED TABLE pattern_templates (id uuid PRIMARY KEY, pattern_name text NOT NULL, "
            "pattern_type text NOT NULL)",
            "ALTER TABLE pattern_templates SET LOGGED;",
        ),
        (
            "CREATE TABLE pattern_quality_metrics (id uuid PRIMARY KEY, pattern_id uuid NOT NULL, quality_score float8 "
            "NOT NULL, version text, "
            "CONSTRAINT pattern_quality_metrics_pattern_id_unique UNIQUE (pattern_id, version))",
            "is not the unique index on .* ALTER INDEX pattern_quality_metrics_pattern_id_unique RENAME TO",
        ),
        (
            "CREATE TABLE tagged (tags text[]); CREATE INDEX pattern_templates_tags_idx ON tagged (tags)",
            r"pattern_templates_tags_idx exists and is not the index on pattern_templates USING gin \(tags\)",
        ),
    ],
)
def test_what_cannot_stay_is_refused_before_anything_is_changed(empty_database: str, setup: str, message: str) -> None:
    rows(empty_database, setup)
    config = config_of(empty_database)
    planned = plan(config, "up", None)
    assert len(planned.obstacles) == 1
    assert re.search(message, planned.obstacles[0])
    with pytest.raises(ConfigurationError, match=message):
        apply(config, "up", None, "run")
    assert rows(empty_database, "SELECT to_regclass('pattern_schema_migrations')") == [(None,)]


@pytest.mark.parametrize(
    "setup",
    [
        "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb, sync_xid bigint);",
        "CREATE TABLE pattern_lineage_nodes (id uuid PRIMARY KEY, pattern_data jsonb, metadata jsonb, "
        "language varchar(50) GENERATED ALWAYS AS (metadata ->> 'language') STORED);",
        "CREATE VIEW v_quality_distribution AS SELECT 1 AS tier_number; "
        "CREATE VIEW reader AS SELECT * FROM v_quality_distribution",
        "CREATE MATERIALIZED VIEW v_quality_worst_patterns AS SELECT 1 AS one",
        "CREATE TABLE pattern_quality_runs (id serial PRIMARY KEY, status text)",
        "CREATE TABLE pattern_sync_dead_letters (id serial PRIMARY KEY, payload jsonb)",
        "CREATE MATERIALIZED VIEW pattern_learning_traces AS SELECT 1 AS one",
        "CREATE TABLE pattern_usage_events (id uuid PRIMARY KEY, pattern_id uuid NOT NULL, used_at timestamptz);"
        "CREATE INDEX ON pattern_usage_events (used_at DESC);",
    ],
)
def test_the_statement_of_a_refusal_makes_room(empty_database: str, setup: str) -> None:
    rows(empty_database, setup)
    [obstacle] = plan(config_of(empty_database), "up", None).obstacles
    statement = re.search(r"ALTER .*;", obstacle)
    assert statement is not None
    rows(empty_database, statement[0])
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST
    apply(config_of(empty_database), "down", 0, "run")


@pytest.mark.parametrize(
    "rule",
    [
        "CONSTRAINT pattern_templates_confidence_score_check CHECK (confidence_score > 0)",
        "CONSTRAINT pattern_templates_name_type_language_unique UNIQUE (pattern_name, pattern_type, language)",
        "CONSTRAINT pattern_templates_name_type_language_unique UNIQUE (pattern_type, id)",
    ],
)
@pytest.mark.parametrize("filled", [False, True])
def test_another_rule_under_the_name_of_ours_stands_beside_it(empty_database: str, rule: str, filled: bool) -> None:
    rows(
        empty_database,
        "CREATE TABLE pattern_templates (id uuid PRIMARY KEY, pattern_name text NOT NULL, pattern_type text NOT NULL, "
        f"language text, confidence_score double precision, {rule})",
    )
    if filled:
        rows(empty_database, "INSERT INTO pattern_templates VALUES (gen_random_uuid(), 'a', 'code', NULL, 0.5)")
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST
    name, kept = rule.split(" ", 2)[1:]
    [(found,)] = rows(empty_database, f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{name}'")
    assert found.replace("(", "").replace(")", "") == kept.replace("(", "").replace(")", "").replace(
        "> 0", "> 0::double precision"
    )


EVENTS = (
    "CREATE TABLE pattern_templates (id uuid PRIMARY KEY, pattern_name text NOT NULL, pattern_type text NOT NULL);"
    "CREATE TABLE pattern_usage_events (id uuid PRIMARY KEY, pattern_id uuid NOT NULL, quality_before numeric(5, 2), "
    "quality_after numeric(5, 2), quality_improvement numeric(3, 2));"
    "INSERT INTO pattern_templates VALUES ('00000000-0000-0000-0000-000000000001', 'a', 'code');"
)


@pytest.mark.parametrize(
    "setup",
    [
        "INSERT INTO pattern_usage_events SELECT gen_random_uuid(), id, 1, 90 FROM pattern_templates",
        "INSERT INTO pattern_usage_events SELECT gen_random_uuid(), id, 1, 2, 3 FROM pattern_templates;"
        "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'only added to'; END $$;"
        "CREATE TRIGGER never BEFORE UPDATE ON pattern_usage_events FOR EACH ROW EXECUTE FUNCTION never()",
    ],
    ids=["too large", "only added to"],
)
def test_events_that_cannot_be_mended_are_adopted(empty_database: str, setup: str) -> None:
    rows(empty_database, EVENTS + setup)
    before = rows(empty_database, "SELECT * FROM pattern_usage_events")
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST
    found = rows(
        empty_database,
        "SELECT id, pattern_id, quality_before, quality_after, quality_improvement FROM pattern_usage_events",
    )
    assert found == before


def test_rows_that_refer_to_superseded_analytics_are_not_deleted(empty_database: str) -> None:
    rows(
        empty_database,
        """
        CREATE TABLE pattern_analytics (id uuid PRIMARY KEY, period_start timestamptz NOT NULL,
            period_end timestamptz NOT NULL, pattern_id uuid, computed_at timestamptz);
        INSERT INTO pattern_analytics VALUES
            ('10000000-0000-0000-0000-000000000001', '2026-01-01Z', '2026-01-02Z', NULL, NULL),
            ('10000000-0000-0000-0000-000000000002', '2026-01-01Z', '2026-01-02Z', NULL, '2026-01-03Z');
        CREATE TABLE reports (analytics uuid REFERENCES pattern_analytics ON DELETE CASCADE);
        INSERT INTO reports VALUES ('10000000-0000-0000-0000-000000000001');
        """,
    )
    [obstacle] = plan(config_of(empty_database), "up", None).obstacles
    query = re.search(r"SELECT .*;", obstacle)
    assert query is not None
    assert len(rows(empty_database, query[0])) == 1
    rows(empty_database, "UPDATE reports SET analytics = '10000000-0000-0000-0000-000000000002'")
    up(empty_database)
    assert rows(empty_database, "SELECT right(analytics::text, 1) FROM reports") == [("2",)]


def test_scores_with_json_are_adopted(empty_database: str) -> None:
    rows(
        empty_database,
        "CREATE TABLE pattern_quality_metrics (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), pattern_id uuid, "
        "quality_score double precision, metadata json DEFAULT '{}')",
    )
    up(empty_database)
    assert verify(config_of(empty_database)).version == NEWEST
    rows(
        empty_database,
        "INSERT INTO pattern_quality_metrics (pattern_id, quality_score, metadata) "
        """VALUES (gen_random_uuid(), 0.5, '{"language": "go", "complexity_score": 0.25}')""",
    )
    found = rows(empty_database, "SELECT language, complexity, completeness FROM v_quality_worst_patterns")
    assert found == [("go", 0.25, None)]


def test_every_obstacle_is_named_at_once(empty_database: str) -> None:
    rows(
        empty_database,
        "CREATE TABLE pattern_quality_metrics (id uuid PRIMARY KEY, pattern_id text, quality_score text);"
        "CREATE VIEW pattern_templates AS SELECT 1",
    )
    with pytest.raises(ConfigurationError, match=r"nothing was changed: \(1\) .*\(2\) .*\(3\) .*quality_score"):
        up(empty_database)


def test_a_statement_of_a_refusal_mends_it(empty_database: str) -> None:
    rows(
        empty_database,
        "CREATE FUNCTION update_pattern_stats(p uuid) RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE VIEW counted AS SELECT update_pattern_stats(NULL) AS n;",
    )
    [obstacle] = plan(config_of(empty_database), "up", None).obstacles
    statement = re.search(r"ALTER FUNCTION .*;", obstacle)
    assert statement is not None
    rows(empty_database, statement[0])
    up(empty_database)
    assert rows(empty_database, "SELECT n FROM counted") == [(1,)]


def test_a_rollback_that_others_depend_on_is_refused(migrated_database: str) -> None:
    rows(
        migrated_database,
        "CREATE VIEW changed AS SELECT updated_at FROM pattern_lineage_nodes;"
        "CREATE VIEW best AS SELECT id FROM v_top_patterns",
    )
    config = config_of(migrated_database)
    with pytest.raises(ConfigurationError, match=r"View changed depends on pattern_lineage_nodes\.updated_at"):
        apply(config, "down", 14, "run")
    rows(migrated_database, "DROP VIEW changed")
    with pytest.raises(ConfigurationError, match=r"View best depends on view v_top_patterns, which goes"):
        apply(config, "down", 0, "run")
    # Nothing was rolled back, not even what could be.
    assert verify(config).version == NEWEST
    # Going up again with it is no problem.
    rows(migrated_database, "DROP INDEX pattern_templates_top_idx")
    up(migrated_database)
    assert verify(config).version == NEWEST


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (
            "CREATE VIEW board AS SELECT tier, patterns FROM v_quality_distribution",
            "View board .*v_quality_distribution",
        ),
        (
            "CREATE MATERIALIZED VIEW board AS SELECT id FROM pattern_quality_runs",
            "Materialized view board .*quality_runs",
        ),
        (
            "CREATE VIEW board AS SELECT * FROM pattern_learning_traces",
            "View board depends on table pattern_learning_tr",
        ),
        (
            "CREATE VIEW board AS SELECT pattern_search_words('a')",
            r"View board depends on .*pattern_search_words\(text\)",
        ),
        (
            "CREATE VIEW board AS SELECT count(*) FROM pattern_sync_outbox",
            "View board depends on table pattern_sync_out",
        ),
        ("CREATE VIEW board AS SELECT * FROM pattern_sync_runs", "View board depends on table pattern_sync_runs"),
        (
            "CREATE FUNCTION board() RETURNS SETOF pattern_sync_dead_letters LANGUAGE sql AS "
            "'SELECT * FROM pattern_sync_dead_letters'",
            r"function board\(\) depends on table pattern_sync_dead_letters",
        ),
        (
            "CREATE TABLE board (run uuid CONSTRAINT kept REFERENCES pattern_quality_runs)",
            "constraint kept on table board depends on table pattern_quality_runs",
        ),
        (
            "CREATE VIEW board AS SELECT events FROM pattern_template_usage",
            "View board depends on table pattern_template_usage",
        ),
        (
            "CREATE TABLE board (updated_at timestamptz); CREATE TRIGGER touch BEFORE UPDATE ON board "
            "FOR EACH ROW EXECUTE FUNCTION pattern_learning_touch()",
            r"trigger touch on table board depends on function pattern_learning_touch\(\)",
        ),
    ],
)
def test_a_rollback_is_refused_before_anything_is_lost(migrated_database: str, setup: str, message: str) -> None:
    # What somebody adds to a table of ours goes with it.
    rows(
        migrated_database,
        "ALTER TABLE pattern_sync_outbox ADD CHECK (name <> ''), ADD COLUMN length int GENERATED ALWAYS AS "
        "(length(name)) STORED; CREATE INDEX ON pattern_learning_traces (lower(node)) WHERE success; "
        "CREATE POLICY mine ON pattern_quality_runs USING (status <> '')",
    )
    config = config_of(migrated_database)
    assert plan(config, "down", 0).obstacles == ()
    rows(migrated_database, setup)
    [obstacle] = plan(config, "down", 0).obstacles
    assert re.match(message, obstacle)
    with pytest.raises(ConfigurationError, match=message):
        apply(config, "down", 0, "run")
    assert verify(config).version == NEWEST
    kind = "MATERIALIZED VIEW" if "MATERIALIZED" in setup else setup.split()[1]
    rows(migrated_database, f"DROP {kind} board")
    assert apply(config, "down", 0, "run").version == 0


# --- duplicates of scores that others refer to


def scores(dsn: str, table: str) -> None:
    apply(config_of(dsn), "up", 13, "run")
    rows(
        dsn,
        f"""
        {table}
        INSERT INTO pattern_quality_metrics (id, pattern_id, quality_score, measurement_timestamp) VALUES
            ('10000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', 0.1, '2025-01-01Z'),
            ('10000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 0.2, '2025-02-01Z');
        """,
    )


def test_a_duplicate_that_somebody_refers_to_is_not_deleted(empty_database: str) -> None:
    scores(empty_database, "CREATE TABLE reviews (metric uuid REFERENCES pattern_quality_metrics ON DELETE CASCADE);")
    rows(empty_database, "INSERT INTO reviews SELECT '10000000-0000-0000-0000-000000000001'")
    with pytest.raises(
        ConfigurationError, match="Rows of reviews refer to quality scores that are duplicates"
    ) as caught:
        up(empty_database)
    assert rows(empty_database, "SELECT count(*) FROM pattern_quality_metrics") == [(2,)]
    statement = re.search(r"UPDATE .*;", str(caught.value))
    assert statement is not None
    rows(empty_database, statement[0])
    up(empty_database)
    assert rows(empty_database, "SELECT right(metric::text, 1) FROM reviews") == [("2",)]


def test_a_rule_that_does_something_beside_deleting_is_no_obstacle(empty_database: str) -> None:
    audit = "CREATE TABLE audit (id uuid); CREATE RULE audited AS ON DELETE TO pattern_quality_metrics "
    scores(empty_database, f"{audit} DO ALSO INSERT INTO audit VALUES (OLD.id);")
    up(empty_database)
    assert rows(empty_database, "SELECT right(id::text, 1) FROM audit") == [("1",)]
    assert rows(empty_database, "SELECT quality_score FROM pattern_quality_metrics") == [(0.2,)]


def test_a_rule_that_keeps_rows_from_being_deleted_is_named(empty_database: str) -> None:
    scores(empty_database, "CREATE RULE keep AS ON DELETE TO pattern_quality_metrics DO INSTEAD NOTHING;")
    with pytest.raises(ConfigurationError, match=r"Rule keep of table .*DISABLE RULE keep;"):
        up(empty_database)
    rows(empty_database, "ALTER TABLE pattern_quality_metrics DISABLE RULE keep")
    up(empty_database)
    assert rows(empty_database, "SELECT quality_score FROM pattern_quality_metrics") == [(0.2,)]


# --- other schemas and roles


def as_role(dsn: str, role: str) -> str:
    return make_conninfo(dsn, user=role, password="secret")


@pytest.mark.parametrize("name", ["lineage_neighbour", "quality_neighbour", "learning_neighbour"])
def test_tables_in_a_schema_that_the_connection_names(empty_database: str, name: str) -> None:
    rows(empty_database, "CREATE SCHEMA patterns")
    inside = make_conninfo(empty_database, options="-c search_path=patterns")
    prepare(inside, name, filled=True)
    config = replace(config_of(empty_database), options={"options": "-c search_path=patterns"})
    assert apply(config, "up", None, "run").version == NEWEST
    assert verify(config).version == NEWEST
    in_public = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert rows(empty_database, in_public) == []
    assert apply(config, "down", 0, "run").version == 0


def test_a_role_that_does_not_own_the_tables_hears_what_to_grant(empty_database: str, role: str) -> None:
    dsn, owner = prepare(empty_database, "lineage_neighbour", filled=True), f"{role}_owner"
    rows(dsn, f"CREATE ROLE {owner}; GRANT CREATE ON SCHEMA public TO {role}")
    rows(dsn, f"ALTER TABLE pattern_lineage_nodes OWNER TO {owner}")
    config = config_of(as_role(dsn, role))
    try:
        with pytest.raises(ConfigurationError) as caught:
            apply(config, "up", None, "run")
        message = str(caught.value)
        # The table of somebody else is not asked for.
        assert f"table pattern_lineage_nodes (of {owner})" in message
        assert "pattern_relationships" not in message
        grant = re.search(rf'GRANT "{owner}" TO "{role}";', message)
        assert grant is not None
        rows(dsn, grant[0])
        assert apply(config, "up", None, "run").version == NEWEST
        assert verify(config).version == NEWEST
        assert apply(config, "down", 0, "run").version == 0
    finally:
        rows(dsn, f"DROP OWNED BY {role} CASCADE; DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}")
