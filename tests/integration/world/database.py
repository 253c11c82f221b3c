"""The side of the rows: a database, and what applications, administrators and restores do to it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from code_patterns.migrations.runner import apply
from code_patterns.servers.postgres import PostgresConfig
from tests.conftest import config_of
from tests.support.two_sides import INSERT, rows

TABLE = "pattern_lineage_nodes"
OWN_SESSION = (
    "-c search_path=public -c default_transaction_read_only=off -c statement_timeout=0 -c client_encoding=UTF8"
)
"""What these sessions need, whatever was set for role and database."""
CODES = ("def größe():\n    return '🐍'", 'say = "日本語"')
"""Code that only survives in the right encoding."""
CHANGES = {
    "code": "pattern_data = jsonb_build_object('code', random()::text)",
    "metadata": "metadata = jsonb_build_object('seen', random()::text)",
    "type": "pattern_type = CASE pattern_type WHEN 'code' THEN 'template' ELSE 'code' END",
    # A local time of those days has an offset with seconds.
    "age": "created_at = TIMESTAMPTZ '1890-06-01 12:00:00.25+00'",
    "usage": "usage_count = usage_count + 1",
}


@dataclass
class Database:
    """One sequence's database on a server that all sequences share.

    :param admin_dsn: maintenance database of the server, with a superuser
    :param worker: the login of the runs; it owns nothing
    :param name: the database's name
    :param inserted: rows inserted ever, so that each is a function of its own
    """

    admin_dsn: str
    worker: str
    name: str
    inserted: int = 0
    names: list[str] = field(default_factory=list)
    """Every database that this sequence may have made."""
    _open: psycopg.Connection[Any] | None = None

    @property
    def owner(self) -> PostgresConfig:
        """The configuration of ``schema_migration``."""
        return config_of(make_conninfo(self.admin_dsn, dbname=self.name))

    @property
    def config(self) -> PostgresConfig:
        """The configuration of the runs."""
        return replace(self.owner, user=self.worker, password="worker")

    # Sessions

    def administer(self, text: str, **names: str) -> None:
        """Execute a statement outside of the database; the names are quoted."""
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            admin.execute(sql.SQL(text).format(**{key: sql.Identifier(value) for key, value in names.items()}))

    @contextmanager
    def session(self, *statements: str) -> Iterator[psycopg.Connection[Any]]:
        """Work in one transaction that begins with these statements."""
        with psycopg.connect(make_conninfo(self.admin_dsn, dbname=self.name, options=OWN_SESSION)) as connection:
            for statement in statements:
                connection.execute(statement)
            yield connection

    def execute(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Execute one statement."""
        with self.session() as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    # What applications do

    def insert(self, count: int, **changes: Any) -> None:
        """Insert rows of real functions; every third one holds letters of all the world."""
        new = rows(count, self.inserted, **changes)
        for number, row in enumerate(new, self.inserted):
            if number % 3 == 0 and not changes:
                row["pattern_data"] = json.dumps({"code": f"{CODES[number % len(CODES)]}  # {number}"})
        with self.session() as connection:
            connection.cursor().executemany(INSERT, new)
        self.inserted += count

    def change(self, what: str, share: int) -> None:
        """Change every ``share``-th row, by id.

        :param what: one of :data:`CHANGES`
        """
        self._on_share(f"UPDATE {TABLE} SET {CHANGES[what]}", share)

    def delete(self, share: int) -> None:
        """Delete every ``share``-th row, by id."""
        self._on_share(f"DELETE FROM {TABLE}", share)

    def _on_share(self, statement: str, share: int) -> None:
        self.execute(
            f"{statement} WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS number "
            f"FROM {TABLE}) AS numbered WHERE number %% %(share)s = 0)",
            {"share": share},
        )

    def truncate(self) -> None:
        """Empty the table."""
        self.end_open(commit=False)
        self.execute(f"TRUNCATE {TABLE} CASCADE")

    def work(self) -> None:
        """Insert, change and delete a little of everything."""
        self.change("code", 3)
        self.delete(4)
        self.insert(2)

    # Transactions that commit late

    @property
    def is_open(self) -> bool:
        """Whether a transaction with changes is open."""
        return self._open is not None

    def begin(self, count: int) -> None:
        """Insert rows in a transaction that stays open."""
        self._open = psycopg.connect(make_conninfo(self.admin_dsn, dbname=self.name, options=OWN_SESSION))
        self._open.cursor().executemany(INSERT, rows(count, self.inserted))
        self.inserted += count

    def end_open(self, *, commit: bool) -> None:
        """End the transaction that is open, if one is."""
        connection, self._open = self._open, None
        if connection is not None:
            (connection.commit if commit else connection.rollback)()
            connection.close()

    # Settings and rights

    def set_for(self, whose: str, setting: str, value: str) -> None:
        """Change a setting of the database, or of the runs' role in this database."""
        owner = "DATABASE {database}" if whose == "database" else "ROLE {role} IN DATABASE {database}"
        self.administer(
            f"ALTER {owner} SET {{setting}} = '{value}'", database=self.name, role=self.worker, setting=setting
        )

    def hide_rows(self) -> None:
        """Hide rows from the runs' role."""
        self.administer("ALTER ROLE {role} NOBYPASSRLS", role=self.worker)
        with self.session(
            f"DROP POLICY IF EXISTS few ON {TABLE}", f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY"
        ) as connection:
            connection.execute(f"CREATE POLICY few ON {TABLE} USING (get_byte(uuid_send(id), 0) < 128)")

    def show_rows(self, how: str) -> None:
        """Show them again: by the role's attribute, or without the policy."""
        if how == "bypass":
            self.administer("ALTER ROLE {role} BYPASSRLS", role=self.worker)
        else:
            self.execute(f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY")

    def admit(self, connections: int) -> None:
        """Limit how many sessions the runs' role may have; -1 is no limit."""
        self.administer(f"ALTER ROLE {{role}} CONNECTION LIMIT {connections}", role=self.worker)

    # Triggers and the table

    def as_replica(self) -> None:
        """Change and delete rows as logical replication applies them."""
        with self.session("SET session_replication_role = replica") as connection:
            connection.execute(f'UPDATE {TABLE} SET pattern_data = \'{{"code": "replicated"}}\'')
            connection.execute(f"DELETE FROM {TABLE} WHERE id = (SELECT id FROM {TABLE} ORDER BY id LIMIT 1)")

    def lose_triggers(self, how: str) -> None:
        """Change and delete rows that no trigger sees any more.

        :param how: ``disable``, ``drop``, or ``swap``: put a copy of the table in its place
        """
        names = self.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [TABLE])
        statements = {
            "disable": [f"ALTER TABLE {TABLE} DISABLE TRIGGER USER"],
            "drop": [f'DROP TRIGGER "{name}" ON {TABLE}' for (name,) in names],
            "swap": [
                f"CREATE TABLE swapped (LIKE {TABLE} INCLUDING ALL)",
                f"INSERT INTO swapped SELECT * FROM {TABLE}",
                f"ALTER TABLE {TABLE} RENAME TO replaced",
                f"ALTER TABLE swapped RENAME TO {TABLE}",
                "DROP TABLE replaced CASCADE",
            ],
        }[how]
        with self.session(*statements) as connection:
            connection.execute(f'UPDATE {TABLE} SET pattern_data = \'{{"code": "unseen"}}\'')
            connection.execute(f"DELETE FROM {TABLE} WHERE id = (SELECT id FROM {TABLE} ORDER BY id LIMIT 1)")

    def migrate(self) -> None:
        """Run ``schema_migration``."""
        apply(self.owner, "up", None, run_id="world")

    # Copies and restores

    def snapshot(self) -> str:
        """Copy the database, as a dump would; return the copy's name."""
        self.end_open(commit=False)
        copy = f"{self.name}_{len(self.names)}"
        self.copy(self.name, copy)
        return copy

    def restore(self, copy: str) -> None:
        """Put a copy in the database's place; the copy stays."""
        self.end_open(commit=False)
        self.administer("DROP DATABASE {name} WITH (FORCE)", name=self.name)
        self.copy(copy, self.name)
        # The policy may be in the copy, and the role's attribute gone.
        self.show_rows("policy")

    def move(self) -> None:
        """Go on with a copy of another name, as a staging system does; the database itself stays."""
        self.name = self.snapshot()

    def copy(self, source: str, target: str) -> None:
        """Copy a database; everybody in it is thrown out."""
        self.names.append(target)
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [source])
        self.administer("CREATE DATABASE {target} TEMPLATE {source}", source=source, target=target)

    def close(self) -> None:
        """Leave nothing behind."""
        self.end_open(commit=False)
        for name in dict.fromkeys(self.names):
            self.administer("DROP DATABASE IF EXISTS {name} WITH (FORCE)", name=name)
        self.administer("ALTER ROLE {role} NOBYPASSRLS CONNECTION LIMIT -1", role=self.worker)

    # What is in it

    def contents(self) -> Mapping[UUID, tuple[Any, ...]]:
        """What the point of each code pattern must say."""
        found = self.execute(
            "SELECT id, pattern_name, pattern_data ->> 'code', metadata, file_path, pattern_id, "
            f"extract(epoch FROM created_at) FROM {TABLE} WHERE pattern_type = 'code'"
        )
        return {row[0]: (*row[1:-1], round(float(row[-1]), 3)) for row in found}

    def dead_letters(self, collection: str | None, identity: str | None) -> set[UUID]:
        """Ids that the runs have parked for a collection; a copy of it under another name has its own."""
        found = self.execute(
            "SELECT node_id FROM pattern_sync_dead_letters WHERE collection = %s AND target_identity = %s",
            [collection, identity],
        )
        return {row[0] for row in found}

    def settle(self) -> None:
        """Wait until nothing older than this moment is open: on a shared server other tests hold transactions too."""
        with self.session() as connection:
            [(now,)] = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
            connection.commit()
            oldest = 0
            while oldest <= now:
                [(oldest,)] = connection.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
                connection.commit()
