"""The query of docs/quality.md that carries a threshold of 1.0.0 over to the new scores."""

import random
import re
import uuid

import pytest

from code_patterns.quality import VERSION
from tests.conftest import ROOT
from tests.support.two_sides import TwoSides

INSERT = """
INSERT INTO pattern_quality_metrics (pattern_id, quality_score, version) VALUES (%s, %s, %s)
ON CONFLICT (pattern_id) DO UPDATE SET quality_score = excluded.quality_score, version = excluded.version
"""


def statements() -> tuple[str, str]:
    """How the page says to keep the old scores, and its query."""
    page = (ROOT / "docs" / "quality.md").read_text("utf-8")
    keeping = re.search(r"CREATE TABLE quality_scores_before AS [^;]*;", page)
    query = re.search(r"<!-- threshold: begin -->\s*```sql\n(.*?)```\s*<!-- threshold: end -->", page, re.DOTALL)
    assert keeping
    assert query
    return keeping[0], query[1]


def carried_over(sides: TwoSides, pairs: list[tuple[float, float]], old_threshold: float) -> tuple[float, float, float]:
    """The new threshold, the share that it keeps, and the share that the old one kept."""
    keeping, query = statements()
    ids = [uuid.UUID(int=number) for number in range(len(pairs))]
    for pattern_id, (old, _) in zip(ids, pairs, strict=True):
        sides.execute(INSERT, [pattern_id, old, "1.0.0"])
    stranger, unscored = uuid.uuid4(), uuid.uuid4()
    sides.execute(INSERT, [stranger, 0.99, "some other scorer"])
    sides.execute(INSERT, [unscored, 0.99, "1.0.0"])
    sides.execute(keeping)
    for pattern_id, (_, new) in zip(ids, pairs, strict=True):
        sides.execute(INSERT, [pattern_id, new, VERSION])
    sides.execute(INSERT, [stranger, 0.99, VERSION])
    sides.execute(INSERT, [uuid.uuid4(), 0.01, VERSION])
    assert "SELECT 0.5 AS old_threshold" in query
    [row] = sides.execute(query.replace("SELECT 0.5 AS", f"SELECT {old_threshold} AS"))
    return row


@pytest.mark.parametrize("old_threshold", [0.2, 0.5, 0.8])
def test_the_new_threshold_keeps_as_many_patterns(sides: TwoSides, old_threshold: float) -> None:
    numbers = random.Random(7)
    pairs = [(numbers.random(), numbers.random() * 0.6) for _ in range(60)]
    threshold, keeps, kept_before = carried_over(sides, pairs, old_threshold)
    old = sum(one >= old_threshold for one, _ in pairs)
    assert sum(two >= threshold for _, two in pairs) == old
    assert keeps == kept_before == pytest.approx(old / 60)


def test_among_equal_scores_the_nearest_share_wins(sides: TwoSides) -> None:
    pairs = [(0.6, 0.3)] * 6 + [(0.4, 0.3)] * 2 + [(0.4, 0.1)] * 12
    assert carried_over(sides, pairs, 0.5) == (0.3, 0.4, 0.3)


def test_a_threshold_that_kept_nothing_still_keeps_nothing(sides: TwoSides) -> None:
    assert carried_over(sides, [(0.4, 0.7), (0.2, 0.9)], 0.5) == (float("inf"), 0.0, 0.0)
