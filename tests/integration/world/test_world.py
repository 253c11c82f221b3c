"""Random sequences of what the world does, and of runs: whatever a run calls a success is one.

``make test`` runs 30 sequences, the same every time. PATTERNS_WORLD_SEQUENCES=1000 runs so many, others each time.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from code_patterns.errors import PatternsError
from code_patterns.servers.retry import RetryPolicy
from tests.integration.world.world import World
from tests.support import faulty_embeddings, faulty_qdrant
from tests.support.faulty_embeddings import EmbeddingServer
from tests.support.faulty_qdrant import QdrantServer

SEQUENCES = int(os.environ.get("PATTERNS_WORLD_SEQUENCES", "0"))
SHORT = 30
STEPS = 8

EVENTS = frozenset(
    os.environ["PATTERNS_WORLD_EVENTS"].split(",")
    if "PATTERNS_WORLD_EVENTS" in os.environ
    else (
        "late commits",
        "poison",
        "passing trouble",
        "outage",
        "kill",
        "lost collection",
        "moved alias",
        "restored points",
        "restored database",
        "replica",
        "triggers",
        "table swap",
        "settings",
        "environment",
    )
)
"""What happens besides writes and runs; PATTERNS_WORLD_EVENTS chooses some of them."""

SETTINGS = {
    "timezone": "Asia/Kathmandu",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "0",
    "search_path": "pg_catalog",
    "default_transaction_read_only": "on",
    "statement_timeout": "50",
}
ENVIRONMENT = {
    "PGTZ": "America/St_Johns",
    "PGCLIENTENCODING": "SQL_ASCII",
    "PGDATESTYLE": "German",
    "PGOPTIONS": "-c statement_timeout=50",
    "PGHOSTADDR": "192.0.2.1",
    "PGSERVICE": "another",
}


def when(event: str) -> Callable[[Any], Any]:
    """Let a rule apply where its event is switched on."""
    return precondition(lambda _: event in EVENTS)


class Sequence(RuleBasedStateMachine):
    """One sequence; ``pending`` says whether rows have changed that no run has brought over yet."""

    world_of: Callable[[], World]
    successes = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).world_of()
        self.pending = True

    def teardown(self) -> None:
        try:
            self.world.heal()
            self.world.mend_embeddings()
            self.world.end_open(commit=True)
            self.world.insert(1)
            self.world.run("full")
            assert self.world.unequal() == set(), "a full sync of a calm world leaves something"
            assert self.world.dead_letters() == set()
        finally:
            self.world.close()

    # Writes

    @rule(count=st.integers(1, 12))
    def insert(self, count: int) -> None:
        self.world.insert(count)
        self.pending = True

    @rule(share=st.integers(1, 4))
    def change_code(self, share: int) -> None:
        self.world.update("pattern_data = jsonb_build_object('code', random()::text)", share)
        self.pending = True

    @rule(share=st.integers(1, 4))
    def change_metadata(self, share: int) -> None:
        self.world.update("metadata = jsonb_build_object('seen', random()::text)", share)
        self.pending = True

    @rule(share=st.integers(2, 4), kind=st.sampled_from(["code", "template"]))
    def change_type(self, share: int, kind: str) -> None:
        self.world.update("pattern_type = %(kind)s", share, {"kind": kind})
        self.pending = True

    @rule()
    def count_usage(self) -> None:
        self.world.update("usage_count = usage_count + 1", 1)

    @rule(share=st.integers(2, 5))
    def delete(self, share: int) -> None:
        self.world.delete(share)
        self.pending = True

    @rule()
    def truncate(self) -> None:
        self.world.truncate()
        self.pending = True

    @when("late commits")
    @rule(count=st.integers(1, 4))
    def begin(self, count: int) -> None:
        self.world.begin(count)

    @when("late commits")
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        self.world.end_open(commit=commit)
        self.pending = True

    # Sessions

    @when("settings")
    @rule(name=st.sampled_from(sorted(SETTINGS)), owner=st.sampled_from(["database", "role"]))
    def setting(self, name: str, owner: str) -> None:
        self.world.set_for(owner, name, SETTINGS[name])

    @when("environment")
    @rule(name=st.sampled_from(sorted(ENVIRONMENT)))
    def environment(self, name: str) -> None:
        self.world.environment = {name: ENVIRONMENT[name]}

    # Capture

    @when("replica")
    @rule(count=st.integers(1, 3))
    def replica(self, count: int) -> None:
        self.world.as_replica(count)
        self.pending = True

    @when("triggers")
    @rule(how=st.sampled_from(["disable", "drop"]))
    def triggers(self, how: str) -> None:
        self.world.without_triggers(how)
        self.pending = True

    @when("table swap")
    @rule()
    def swap_table(self) -> None:
        self.world.end_open(commit=False)
        self.world.swap_table()
        self.pending = True

    # Identity

    @when("restored database")
    @rule()
    def snapshot(self) -> None:
        self.world.snapshot()

    @when("restored database")
    @rule()
    def restore_database(self) -> None:
        self.world.restore_database()
        self.pending = True

    @when("restored points")
    @rule()
    def remember_points(self) -> None:
        self.world.remember_points()

    @when("restored points")
    @rule()
    def restore_points(self) -> None:
        self.world.restore_points()

    @when("lost collection")
    @rule()
    def lose_collection(self) -> None:
        self.world.lose_collection()

    @when("moved alias")
    @rule()
    def move_alias(self) -> None:
        self.world.move_alias()

    # Servers

    @when("poison")
    @rule(count=st.integers(1, 3))
    def poison(self, count: int) -> None:
        self.world.poison(count)
        self.pending = True

    @when("poison")
    @rule()
    def mend_embeddings(self) -> None:
        self.world.mend_embeddings()

    @when("passing trouble")
    @rule(which=st.sampled_from(["embeddings", "lost", "broken", "busy", "unavailable"]))
    def trouble(self, which: str) -> None:
        self.world.trouble(which)

    @when("outage")
    @rule(mode=st.sampled_from(["incremental", "full"]))
    def outage(self, mode: str) -> None:
        self.world.outage()
        self._run(mode)
        self.world.heal()

    # Runs

    @when("kill")
    @rule(mode=st.sampled_from(["incremental", "full"]), requests=st.integers(1, 12))
    def killed(self, mode: str, requests: int) -> None:
        self.world.run_killed(mode, requests)

    @rule()
    def hourly(self) -> None:
        self._run("incremental")

    @rule()
    def nightly(self) -> None:
        self._run("full")

    @rule(mode=st.sampled_from(["interval", "verify"]))
    def other_run(self, mode: str) -> None:
        self._run(mode)

    def _run(self, mode: str) -> None:
        try:
            self.world.run(mode)
        except PatternsError:
            # What it said is for the person; that it said something is enough, and the end of each sequence shows
            # that a calm world syncs.
            return
        type(self).successes += 1
        late = self.world.is_open
        unequal = self.world.unequal()
        if mode == "full" or (mode == "incremental" and not late):
            assert unequal <= self.world.dead_letters(), f"{mode} said success"
            self.pending = late
        elif mode == "verify" and not self.pending:
            assert unequal <= self.world.dead_letters(), "verify said success"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry as usual, only sooner and not so often."""
    policy = RetryPolicy(attempts=4, first_wait=0.001, longest_wait=0.01)
    monkeypatch.setattr("code_patterns.servers.qdrant.RETRY", policy)
    monkeypatch.setattr("code_patterns.embeddings.RetryPolicy", lambda: policy)
    monkeypatch.setattr("code_patterns.servers.locks.POLL_SECONDS", 0.05)


@pytest.fixture
def world_of(postgres_server: str, migrated_template: str) -> Iterator[Callable[[], World]]:
    """Make worlds on one set of servers."""
    with (
        faulty_qdrant.running() as qdrant,
        faulty_embeddings.running(EmbeddingServer(dimension=16)) as embeddings,
    ):
        yield lambda: World(postgres_server, migrated_template, _qdrant(qdrant), embeddings)


def _qdrant(server: QdrantServer) -> QdrantServer:
    server.heal()
    return server


@pytest.mark.timeout(0 if SEQUENCES else 1200)
def test_what_a_run_calls_a_success_is_one(world_of: Callable[[], World]) -> None:
    class Here(Sequence):
        pass

    Here.world_of = staticmethod(world_of)  # type: ignore[assignment]
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=SEQUENCES or SHORT,
            stateful_step_count=STEPS,
            derandomize=not SEQUENCES,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink) if SEQUENCES else (Phase.generate,),
            verbosity=Verbosity.normal,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    assert Here.successes >= (SEQUENCES or SHORT) // 2, "hardly a run came to its end: nothing was shown"
