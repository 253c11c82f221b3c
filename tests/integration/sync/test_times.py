"""Times as databases really hold them: ISO 8601 in UTC where Python and its readers have them, null elsewhere."""

from datetime import datetime
from typing import Any

import pytest

from tests.support.learning_database import Layer, LearningDatabase
from tests.support.two_sides import TwoSides, rows

TIMES = {
    # Local mean time, with seconds.
    "1900-01-01 12:00:00+00:19:32": "1900-01-01T11:40:28+00:00",
    "1883-11-18 12:03:57.5-04:56:02": "1883-11-18T16:59:59.500000+00:00",
    "2026-03-29 02:30:00+01": "2026-03-29T01:30:00+00:00",
    "0001-01-01 00:00:00+00": "0001-01-01T00:00:00+00:00",
    "0001-01-01 00:00:00+14": None,
    "0999-06-01 00:00:00+00": "0999-06-01T00:00:00+00:00",
    "9999-12-31 23:59:59.999999+00": "9999-12-31T23:59:59.999999+00:00",
    "10000-01-01 00:00:00+00": None,
    "0044-03-15 12:00:00+00 BC": None,
    "infinity": None,
    "-infinity": None,
}


@pytest.mark.parametrize("zone", ["UTC", "Africa/Monrovia", "Pacific/Kiritimati"])
def test_times_in_payloads(sides: TwoSides, zone: str) -> None:
    patterns = rows(len(TIMES))
    sides.insert(patterns)
    sides.execute(f"ALTER DATABASE {sides.postgres.database} SET timezone = '{zone}'")
    for row, time in zip(patterns, TIMES, strict=True):
        sides.execute("UPDATE pattern_lineage_nodes SET created_at = %s WHERE id = %s", [time, row["id"]])
    assert sides.sync("full").counts["parked"] == 0
    points = sides.points()
    found = {time: points[row["id"]]["created_at"] for row, time in zip(patterns, TIMES, strict=True)}
    assert found == TIMES
    assert sides.sync("full").counts["unchanged"] == len(TIMES)


def test_times_of_the_storage_layer(learning: LearningDatabase) -> None:
    async def work(layer: Layer) -> dict[str, Any]:
        found = {}
        for time in TIMES:
            pattern = await layer.store(time)
            set_times = "UPDATE pattern_templates SET discovered_at = %s, last_used_at = %s WHERE id = %s"
            learning.rows(set_times, time, time, pattern)
            event = "INSERT INTO pattern_usage_events (pattern_id, success, used_at) VALUES (%s, true, %s)"
            learning.rows(event, pattern, time)
            row = await layer.do("get_by_id", pattern_id=pattern)
            ways = {
                row["discovered_at"],
                (await layer.do("filter", filters={"id": pattern}))[0]["discovered_at"],
                *(datetime.fromisoformat(text) if text else None for text in await texts(layer, pattern)),
            }
            assert len(ways) == 1, ways
            found[time] = row["discovered_at"] and row["discovered_at"].isoformat()
        assert len(await layer.do("get_top", limit=100)) == len(TIMES)
        return found

    async def texts(layer: Layer, pattern: str) -> list[str | None]:
        used = await layer.do("get_effectiveness", pattern_id=pattern)
        changed = await layer.do("update", pattern_id=pattern, data={"category": "net"})
        return [used["first_used"], used["last_used"], changed["discovered_at"]]

    assert learning.use(work) == TIMES
