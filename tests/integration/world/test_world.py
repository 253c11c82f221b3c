"""Random sequences of what the world does, and of runs: whatever a run calls a success is one.

``make test`` runs a short sequence for each disturbance, the same ones every time. PATTERNS_WORLD_SEQUENCES=1000 runs
so many longer ones, others each time, and prints what happened. PATTERNS_WORLD_EVENTS="restored points,triggers"
chooses disturbances.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from code_patterns.servers.retry import RetryPolicy
from tests.integration.world.sequence import DISTURBANCES, Sequence
from tests.integration.world.world import Start, World
from tests.support import faulty_embeddings, faulty_qdrant
from tests.support.faulty_embeddings import EmbeddingServer

SEQUENCES = int(os.environ.get("PATTERNS_WORLD_SEQUENCES", "0"))
SHORT_STEPS, LONG_STEPS = 2, 6


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry as usual, only sooner and not so often."""
    policy = RetryPolicy(attempts=4, first_wait=0.001, longest_wait=0.01)
    monkeypatch.setattr("code_patterns.servers.qdrant.RETRY", policy)
    monkeypatch.setattr("code_patterns.embeddings.RetryPolicy", lambda: policy)
    monkeypatch.setattr("code_patterns.servers.locks.POLL_SECONDS", 0.05)


@pytest.fixture
def start(postgres_server: str, migrated_template: str) -> Iterator[Callable[[], World]]:
    """Make worlds on one set of servers."""
    with (
        faulty_qdrant.running() as qdrant,
        faulty_embeddings.running(EmbeddingServer(dimension=16)) as embeddings,
    ):
        start = Start(postgres_server, migrated_template, qdrant, embeddings)
        try:
            yield start
        finally:
            start.close()


@pytest.mark.timeout(0 if SEQUENCES else 1200)
def test_what_a_run_calls_a_success_is_one(start: Callable[[], World], capsys: pytest.CaptureFixture[str]) -> None:
    class Here(Sequence):
        worlds = 0
        events: ClassVar[Counter[str]] = Counter()
        runs: ClassVar[Counter[tuple[str, str]]] = Counter()

        def __init__(self) -> None:
            super().__init__()
            Here.worlds += 1

    Here.start = staticmethod(start)  # type: ignore[assignment]
    began = time.monotonic()
    try:
        if SEQUENCES:
            _run_sequences(Here, SEQUENCES, LONG_STEPS)
        else:
            # Hypothesis repeats itself in so few sequences: each disturbance gets one of its own.
            for Here.opening in sorted(DISTURBANCES):
                _run_sequences(Here, 1, SHORT_STEPS)
    finally:
        if SEQUENCES:
            with capsys.disabled():
                print(f"\n{Here.worlds} sequences, {time.monotonic() - began:.0f} s")
                print(f"{sum(Here.events.values())} events:")
                for event, count in sorted(Here.events.items()):
                    print(f"  {count:6} {event}")
                print(f"{sum(Here.runs.values())} runs:")
                for (kind, outcome), count in sorted(Here.runs.items()):
                    print(f"  {count:6} {kind}: {outcome}")
    assert Here.runs["incremental", "success"] >= Here.worlds, "hardly a run came to its end: nothing was shown"


def _run_sequences(machine: type[Sequence], count: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=count,
            stateful_step_count=steps,
            derandomize=not SEQUENCES,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink) if SEQUENCES else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
