"""Each alert fires over real sides, and ends when its entry of docs/runbook.md is followed; an hour lasts seconds."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import models

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.hooks.configured import Configured
from code_patterns.migrations.runner import apply
from code_patterns.web.services import Services
from tests.support.faulty_embeddings import EmbeddingServer, Fault
from tests.support.prometheus_server import Prometheus, prometheus
from tests.support.running_stream import eventually, running_stream
from tests.support.two_sides import TwoSides, rows
from tests.support.writers import in_process

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is missing; on Debian: apt install prometheus"
)

HOUR = 3.0
SHORT_HOUR = 0.3
"""Where an alert waits for more than a day."""


class Watched:
    """Both sides, and the metrics that the page gives of them.

    :ivar wrong: whether a connection is missing
    """

    def __init__(self, sides: TwoSides) -> None:
        self.wrong = False
        self.sides = sides
        self.qdrant = sides.qdrant

    def metrics(self) -> str:
        """The answer of the route ``metrics``."""

        async def ask() -> str:
            services = Services(self._configured, lambda: [""])
            try:
                return await services.metrics()
            finally:
                await services.close()

        return asyncio.run(ask())

    def _configured(self, _: str) -> Configured:
        if self.wrong:
            raise ConfigurationError(Code.CONNECTION_MISSING, "Connection 'patterns_qdrant' is not defined.")
        return Configured(self.sides.as_reader, self.qdrant, self.sides.embedding, self.sides.collection)

    @contextmanager
    def by_prometheus(self, hour: float = HOUR, **how: Any) -> Iterator[Prometheus]:
        """Watch them."""
        with prometheus(self.metrics, hour, **how) as watching:
            yield watching


@pytest.fixture
def watched(served: TwoSides) -> Watched:
    """Sides that agree: 10 patterns."""
    served.insert(rows(10))
    assert served.sync("full").parity == "proven"
    assert served.sync().counts["new"] == 0
    return Watched(served)


def change(sides: TwoSides) -> None:
    sides.execute("UPDATE pattern_lineage_nodes SET metadata = '{\"changed\": true}' WHERE pattern_type = 'code'")


@pytest.mark.remedy("PAT-A-001", elsewhere=True)
def test_the_route_does_not_answer(watched: Watched) -> None:
    watched.wrong = True
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-001", fires=True)
        watched.wrong = False
        watching.wait_until("PAT-A-001", fires=False)


@pytest.mark.remedy("PAT-A-002", elsewhere=True)
def test_the_configuration_has_lost_its_job(watched: Watched) -> None:
    with watched.by_prometheus(scrapes=False) as watching:
        watching.wait_until("PAT-A-002", fires=True)
        assert watching.firing() == {"PAT-A-002"}
        watching.scrapes = True
        watching.configure()
        watching.wait_until("PAT-A-002", fires=False)


@pytest.mark.remedy("PAT-A-003", elsewhere=True)
def test_a_change_waits_for_too_long(watched: Watched) -> None:
    change(watched.sides)
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-003", fires=True)
        assert watched.sides.sync().counts["payload_only"] == 10
        watching.wait_until("PAT-A-003", fires=False)


@pytest.mark.remedy("PAT-A-004", elsewhere=True)
def test_hourly_runs_have_nothing_to_start_from(watched: Watched) -> None:
    sides = watched.sides
    [*triggers] = sides.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'pattern_lineage_nodes'::regclass AND NOT tgisinternal"
    )
    for (name,) in triggers:
        sides.execute(f"DROP TRIGGER {name} ON pattern_lineage_nodes")
    change(sides)
    assert sides.sync().kind == "full"
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-004", fires=True)
        apply(sides.postgres, "up", None, run_id="remedy")
        assert sides.sync("full").parity == "proven"
        watching.wait_until("PAT-A-004", fires=False)
    sides.assert_equal_sides()


@pytest.mark.remedy("PAT-A-005", elsewhere=True)
def test_both_sides_were_unequal(watched: Watched) -> None:
    sides = watched.sides
    [(node_id,)] = sides.execute("SELECT id::text FROM pattern_lineage_nodes LIMIT 1")

    async def edit(client: Any) -> None:
        await client.set_payload(sides.collection, {"code": "edited"}, points=[node_id], wait=True)

    sides.with_client(edit)
    with pytest.raises(ConfigurationError):
        sides.sync("verify")
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-005", fires=True)
        assert sides.sync("verify", heal=True).parity == "proven"
        watching.wait_until("PAT-A-005", fires=False)
    sides.assert_equal_sides()


@pytest.mark.remedy("PAT-A-006", elsewhere=True)
def test_the_proof_is_too_old(watched: Watched) -> None:
    with watched.by_prometheus(SHORT_HOUR) as watching:
        watching.wait_until("PAT-A-006", fires=True)
        assert watched.sides.sync("full").parity == "proven"
        watching.wait_until("PAT-A-006", fires=False)


@pytest.mark.remedy("PAT-A-007", elsewhere=True)
def test_nothing_was_ever_proven(served: TwoSides) -> None:
    served.insert(rows(10))
    with Watched(served).by_prometheus(SHORT_HOUR) as watching:
        watching.wait_until("PAT-A-007", fires=True)
        assert served.sync("full").parity == "proven"
        watching.wait_until("PAT-A-007", fires=False)


@pytest.mark.remedy("PAT-A-008", elsewhere=True)
def test_a_row_is_parked(watched: Watched) -> None:
    sides = watched.sides
    broken = rows(1, 20)[0]
    sides.insert([{**broken, "pattern_data": json.dumps("no object")}])
    assert sides.sync().counts["parked"] == 1
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-008", fires=True)
        mended = [broken["pattern_data"], broken["id"]]
        sides.execute("UPDATE pattern_lineage_nodes SET pattern_data = %s WHERE id = %s", mended)
        assert sides.sync().counts["parked"] == 0
        watching.wait_until("PAT-A-008", fires=False)
    sides.assert_equal_sides()


@pytest.mark.remedy("PAT-A-009", elsewhere=True)
def test_the_newest_run_failed(watched: Watched) -> None:
    sides = watched.sides
    sides.execute("DELETE FROM pattern_lineage_nodes WHERE id IN (SELECT id FROM pattern_lineage_nodes LIMIT 5)")
    with pytest.raises(ConfigurationError, match="allow_mass_delete"):
        sides.sync("full")
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-009", fires=True)
        assert sides.sync("full", allow_mass_delete=True).parity == "proven"
        watching.wait_until("PAT-A-009", fires=False)
    sides.assert_equal_sides()


@pytest.mark.remedy("PAT-A-010", elsewhere=True)
def test_runs_are_killed(watched: Watched) -> None:
    sides = watched.sides
    runs = "SELECT count(*) FROM pattern_sync_runs"
    for _ in range(3):
        sides.execute("UPDATE pattern_lineage_nodes SET pattern_name = pattern_name || 'x'")
        [(before,)] = sides.execute(runs)
        process = in_process(lambda: sides.sync("full", batch_size=1, delay_seconds=1.0, settled=False))
        eventually(lambda before=before: sides.execute(runs) > [(before,)])
        process.kill()
        process.join()
    assert sides.sync("full").parity == "proven"
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-010", fires=True)
        # With enough memory no run is killed any more, and the alert ends after a day.
        sides.execute(
            "UPDATE pattern_sync_runs SET started_at = started_at - interval '1 day', "
            "finished_at = finished_at - interval '1 day' WHERE status = 'abandoned'"
        )
        watching.wait_until("PAT-A-010", fires=False)
    sides.assert_equal_sides()


@pytest.mark.remedy("PAT-A-011", elsewhere=True)
def test_no_hourly_run_succeeds(watched: Watched) -> None:
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-011", fires=True)
        watched.sides.sync()
        watching.wait_until("PAT-A-011", fires=False)


@pytest.mark.remedy("PAT-A-012", elsewhere=True)
def test_the_stream_is_slow(watched: Watched, embedding_server: EmbeddingServer) -> None:
    server: dict[str, Any] = {"api": "ollama", "base_url": embedding_server.url, "dimension": 768, "timeout": 60.0}
    sides = replace(watched.sides, embedding=replace(watched.sides.embedding, **server))
    watched.sides = sides
    assert sides.sync("full").parity == "proven"
    with running_stream(sides), watched.by_prometheus() as watching:
        eventually(lambda: "code_patterns_stream_up{" in watched.metrics())
        embedding_server.always = Fault(delay=11.0)
        sides.insert(rows(1, 30))
        watching.wait_until("PAT-A-012", fires=True)
        embedding_server.always = None
        for number in range(40, 160):
            sides.insert(rows(1, number))
        watching.wait_until("PAT-A-012", fires=False)
    sides.assert_equal_sides()


@pytest.mark.remedy("PAT-A-013", elsewhere=True)
def test_qdrant_is_down(watched: Watched) -> None:
    right, watched.qdrant = watched.qdrant, replace(watched.qdrant, url="http://127.0.0.1:1")
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-013", fires=True)
        watched.qdrant = right
        watching.wait_until("PAT-A-013", fires=False)


@pytest.mark.remedy("PAT-A-014", elsewhere=True)
def test_points_vanish(watched: Watched) -> None:
    sides = watched.sides
    with watched.by_prometheus(4 * HOUR) as watching:
        ids = [str(node_id) for node_id in sides.points()][:5]
        eventually(lambda: watching.samples("code_patterns_points offset 3s"))

        async def delete(client: Any) -> None:
            await client.delete(sides.collection, points_selector=models.PointIdsList(points=ids), wait=True)

        sides.with_client(delete)
        watching.wait_until("PAT-A-014", fires=True)
        # Not meant: what restore.md says if the rows are all there.
        assert sides.sync("full").parity == "proven"
        watching.wait_until("PAT-A-014", fires=False)
    sides.assert_equal_sides()


@pytest.mark.remedy("PAT-A-015", elsewhere=True)
def test_postgres_does_not_tell_the_state(watched: Watched) -> None:
    right, watched.sides.postgres = watched.sides.postgres, replace(watched.sides.postgres, host="127.0.0.1", port=1)
    with watched.by_prometheus() as watching:
        watching.wait_until("PAT-A-015", fires=True)
        assert watching.firing() == {"PAT-A-015"}
        watched.sides.postgres = right
        watching.wait_until("PAT-A-015", fires=False)
