"""The benchmark's measure of how soon a committed row is found."""

import math
from collections.abc import Sequence

import pytest

from benchmarks.stream_traffic import Commits, Latencies


class SearchOf:
    """A search that finds only these ids."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)

    def found(self, ids: Sequence[str]) -> list[str]:
        return [node_id for node_id in ids if node_id in self.ids]

    def count(self) -> int:
        return len(self.ids)


@pytest.mark.parametrize(
    ("seconds", "lost", "share", "expected"),
    [
        (range(1, 101), 0, 0.5, 50),
        (range(1, 101), 0, 0.99, 99),
        (range(1, 11), 0, 0.99, 10),
        (range(1, 100), 1, 0.99, 99),
        (range(1, 99), 2, 0.99, math.inf),
        ((), 0, 0.5, math.inf),
    ],
)
def test_a_quantile_is_a_measured_latency_and_a_lost_row_exceeds_any(
    seconds: Sequence[float], lost: int, share: float, expected: float
) -> None:
    assert Latencies(list(seconds), lost).quantile(share) == expected


def test_only_rows_that_wait_are_asked_for_and_those_not_found_are_lost() -> None:
    commits = Commits()
    for node_id in ("a", "b", "c"):
        commits.add(node_id)
    assert commits.ask(SearchOf("b"))
    assert commits.ask(SearchOf("a", "b"))
    found = commits.latencies()
    assert (len(found.seconds), found.lost) == (2, 1)
    assert list(found.seconds) == sorted(found.seconds)
    assert commits.ask(SearchOf("c"))
    assert not commits.ask(SearchOf("c"))
