"""The stream in races and killed: alone it takes everything, whatever happens to it."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

from code_patterns.sync.run_locks import stream_lock
from tests.support.running_stream import eventually, running_stream, stream_between
from tests.support.two_sides import TwoSides
from tests.support.writers import FORK, in_process, race

KILLS = 6


def kinds(sides: TwoSides) -> dict[tuple[str, str], int]:
    found = sides.execute("SELECT kind, status, count(*) FROM pattern_sync_runs GROUP BY kind, status")
    return {(kind, status): count for kind, status, count in found}


def may_stream(sides: TwoSides) -> bool:
    """Whether no stream holds the lock."""
    lock = stream_lock(sides.collection)
    asked = "SELECT pg_try_advisory_xact_lock(hashtext(%s), hashtext(%s))"
    [(free,)] = sides.execute(asked, (lock.space, lock.key))
    return bool(free)


def test_nothing_is_lost_while_eight_writers_race_the_stream(
    served: TwoSides, record_property: Callable[[str, object], None]
) -> None:
    served.sync("full", allow_mass_delete=True)
    with ExitStack() as until_the_end:
        with race(served, 8) as writers:
            settings = {"batch_size": 7, "poll_milliseconds": 50, "linger_seconds": 3.0}
            up = until_the_end.enter_context(running_stream(served, **settings))
            time.sleep(12)
        result = up.join()
    served.assert_equal_sides()
    assert kinds(served) == {("full", "succeeded"): 1, ("stream", "succeeded"): 1}
    assert result.counts["parked"] == 0
    commits = sum(writer.commits for writer in writers)
    record_property("commits", commits)
    assert commits > 200
    assert served.sync().counts["new"] == 0


def test_streams_killed_in_a_race_and_followed_by_others_lose_nothing(served: TwoSides) -> None:
    served.sync("full", allow_mass_delete=True)
    # Forked before the writers' threads begin: a fork copies whatever lock a thread holds at that moment.
    goes = [FORK.Event() for _ in range(KILLS)]

    def follow(turn: int) -> None:
        goes[turn].wait()
        asyncio.run(stream_between(served, batch_size=7, poll_milliseconds=50))

    streams = [in_process(lambda turn=turn: follow(turn)) for turn in range(KILLS)]
    instants = random.Random(14)
    with race(served, 8):
        for go, process in zip(goes, streams, strict=True):
            go.set()
            time.sleep(instants.uniform(0.3, 2.0))
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            assert process.exitcode == -signal.SIGKILL
            # PostgreSQL needs a moment to see that the client is gone. Until then another stream would be one too many.
            eventually(lambda: may_stream(served))
    with running_stream(served, linger_seconds=3.0) as last:
        result = last.join()
    if result.comparison_needed:
        # The server may have got to the last request of a killed stream after the first one of its successor. Then the
        # collection holds the older token, which is never taken for agreement.
        assert served.sync().kind == "full"
    served.assert_equal_sides()
    found = kinds(served)
    assert found[("stream", "abandoned")] >= KILLS // 2
    assert found.keys() == {("full", "succeeded"), ("stream", "abandoned"), ("stream", "succeeded")}
    assert served.execute("SELECT * FROM pattern_sync_dead_letters") == []
    assert served.sync().counts["new"] == 0
