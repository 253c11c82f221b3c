"""Applications that write patterns all the time, some of them in long transactions."""

import json
import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg

from demo.harvest import Pattern
from soak.comparison import APPLICATION, query
from soak.ledger import Ledger

MOST_ROWS = 250
"""A writer with more rows deletes more often than it inserts."""
PAUSE = (0.05, 0.8)
"""Seconds between two transactions."""
LONG = (3.0, 25.0)
"""Seconds that a long transaction stays open."""
LONG_SHARE = 0.03
ROLLED_BACK = 0.08
AGAIN_SECONDS = 0.5


@dataclass(frozen=True)
class _Plan:
    """What a transaction does: statement and row, and the rows that the writer has if it commits."""

    steps: Sequence[tuple[str, UUID]]
    rows: Sequence[UUID]


class Writer(threading.Thread):
    """Inserts, changes, renames and deletes rows of its own.

    :param dsn: the database, past the proxy: so it is known what was committed
    :param ledger: gets every change
    :param code: real patterns, whose code it writes
    :param rows: rows that it may change from the start
    :param seed: chooses what it does
    """

    def __init__(self, dsn: str, ledger: Ledger, code: Sequence[Pattern], rows: Sequence[UUID], seed: int) -> None:
        super().__init__(name=f"writer-{seed}", daemon=True)
        self._dsn = dsn
        self._ledger = ledger
        self._code = [(row.pattern_name, row.file_path, text) for row in code if (text := _code_of(row))]
        self._rows = rows
        self._random = random.Random(seed)
        self._ending = threading.Event()
        self.error: Exception | None = None
        self.lost = 0

    def end(self) -> None:
        """Let it end its transaction and stop."""
        self._ending.set()

    def run(self) -> None:
        """Write until :meth:`end`; connect again whenever the session is lost."""
        while not self._ending.is_set():
            try:
                with psycopg.connect(self._dsn, application_name=APPLICATION, connect_timeout=5) as connection:
                    while not self._ending.wait(self._random.uniform(*PAUSE)):
                        self._transact(connection)
            except psycopg.OperationalError:
                self.lost += 1
                time.sleep(AGAIN_SECONDS)
            except Exception as error:
                self.error = error
                return

    def _transact(self, connection: psycopg.Connection) -> None:
        plan = self._plan()
        ids = [node_id for _, node_id in plan.steps]
        with self._ledger.touching(ids):
            [(xid,)] = connection.execute(query("transaction")).fetchall()
            try:
                for name, node_id in plan.steps:
                    connection.execute(query(name), self._values(node_id))
                if self._random.random() < LONG_SHARE:
                    self._ending.wait(self._random.uniform(*LONG))
                if self._random.random() < ROLLED_BACK:
                    connection.rollback()
                    return
                connection.commit()
            except psycopg.OperationalError:
                # Perhaps it was committed. Whatever the row is now, it stays so until the next change.
                self._ledger.changed(ids, xid)
                raise
            self._ledger.changed(ids, xid)
            self._rows = plan.rows

    def _plan(self) -> _Plan:
        rows, steps = list(self._rows), []
        for _ in range(self._random.choice((1, 1, 1, 2, 5))):
            chance = self._random.random()
            if chance < (0.3 if len(rows) < MOST_ROWS else 0.1) or len(rows) < 10:
                rows.append(uuid.UUID(int=self._random.getrandbits(128), version=4))
                steps.append(("insert", rows[-1]))
                continue
            node_id = self._random.choice([row for row in rows if row not in {done for _, done in steps}])
            name = self._random.choices(
                ("change_code", "change_metadata", "rename", "retype", "count_use", "delete"), (6, 3, 3, 1, 2, 4)
            )[0]
            if name == "delete":
                rows.remove(node_id)
            steps.append((name, node_id))
        return _Plan(steps, rows)

    def _values(self, node_id: UUID) -> dict[str, object]:
        name, path, code = self._random.choice(self._code)
        number = self._random.randrange(10**6)
        return {
            "id": node_id,
            "name": f"{name}_{number}",
            "path": f"soak/{number % 97}/{path}",
            "code": f"# Round {number}\n{code}",
            "round": number,
        }


def _code_of(pattern: Pattern) -> str | None:
    data = json.loads(pattern.pattern_data)
    code = data.get("code") if isinstance(data, dict) and pattern.pattern_type == "code" else None
    return code if isinstance(code, str) else None
