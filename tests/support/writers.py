"""Others who write while a sync works, and syncs in processes that can be killed."""

import multiprocessing
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.support.two_sides import INSERT, TwoSides, rows

FORK = multiprocessing.get_context("fork")


class Writer(threading.Thread):
    """Inserts, updates and deletes its own rows; holds some transactions open and rolls some back."""

    def __init__(self, sides: TwoSides, seed: int, stop: threading.Event) -> None:
        super().__init__()
        self.sides, self.random, self.stop = sides, random.Random(seed), stop
        self.commits = 0
        self.new = iter(rows(2000, start=1 + seed * 300))
        self.mine: list[uuid.UUID] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self.sides.postgres.conninfo) as connection:
                while not self.stop.is_set():
                    kept = self._write(connection)
                    if self.random.random() < 0.15:
                        time.sleep(self.random.uniform(0.05, 0.4))
                    if self.random.random() < 0.1:
                        connection.rollback()
                    else:
                        connection.commit()
                        self.mine = kept
                        self.commits += 1
        except BaseException as error:
            self.error = error

    def _write(self, connection: psycopg.Connection[Any]) -> list[uuid.UUID]:
        choice = self.random.random()
        if choice < 0.5 or len(self.mine) < 5:
            row = {**next(self.new), "id": uuid.uuid4(), "pattern_id": uuid.uuid4().hex}
            connection.execute(INSERT, row)
            return [*self.mine, row["id"]]
        victim = self.random.choice(self.mine)
        if choice < 0.7:
            connection.execute(
                "UPDATE pattern_lineage_nodes SET pattern_data = jsonb_build_object('code', %s::text) WHERE id = %s",
                [f"x = {self.random.random()}", victim],
            )
        elif choice < 0.8:
            connection.execute(
                "UPDATE pattern_lineage_nodes SET metadata = jsonb_build_object('n', %s::int) WHERE id = %s",
                [self.random.randrange(10**6), victim],
            )
        elif choice < 0.85:
            kind = self.random.choice(["code", "config"])
            connection.execute("UPDATE pattern_lineage_nodes SET pattern_type = %s WHERE id = %s", [kind, victim])
        else:
            connection.execute("DELETE FROM pattern_lineage_nodes WHERE id = %s", [victim])
            return [node_id for node_id in self.mine if node_id != victim]
        return self.mine


@contextmanager
def race(sides: TwoSides, count: int) -> Iterator[list[Writer]]:
    """Writers that work as long as the block does."""
    stop = threading.Event()
    writers = [Writer(sides, seed, stop) for seed in range(count)]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert [writer.error for writer in writers] == [None] * count


def in_process(work: Callable[[], Any]) -> Any:
    """Start work in a forked process of its own."""

    def run() -> None:
        work()
        os._exit(0)

    process = FORK.Process(target=run)
    process.start()
    return process
