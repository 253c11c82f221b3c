"""Two nights of the whole chain, unattended, in a whole Airflow; and what the service pattern-sync-init does."""

import json
import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from code_patterns.quality.score import VERSION, score_pattern
from tests.conftest import ROOT
from tests.integration.night.airflow_local_settings import FASTER
from tests.integration.night.conftest import DAGS, Night
from tests.support.faulty_qdrant import Fault
from tests.support.learning_database import Layer, template
from tests.support.two_sides import rows
from tests.support.writers import race

# On a busy machine starting Airflow takes minutes.
pytestmark = pytest.mark.timeout(900)

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST, SECOND = TODAY - timedelta(days=2), TODAY - timedelta(days=1)
FULL = timedelta(hours=2)
"""When the full sync starts."""
BETWEEN = timedelta(hours=12)
"""When the hourly run's interval between the nights starts."""

SUNDAY = TODAY - timedelta(days=TODAY.weekday() + 1) + timedelta(hours=5)
"""When the last weekly maintenance before today starts."""

STREAM = "pattern_sync_stream"

SCORES = """
SELECT m.pattern_id, m.quality_score, m.version, m.measurement_timestamp
FROM pattern_quality_metrics AS m JOIN pattern_lineage_nodes AS n ON n.id = m.pattern_id
"""

LOCKS = """
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND datname = current_database()
"""


def scores(night: Night) -> dict[Any, tuple[float, str, datetime]]:
    return {row[0]: row[1:] for row in night.sides.execute(SCORES)}


def use_templates(night: Night) -> None:
    """Four templates, used once on the day before the first night and twice on the day before the second."""

    async def work(layer: Layer) -> None:
        ids = (await layer.do("batch_insert", patterns=[template(f"t{number}") for number in range(4)]))["pattern_ids"]
        for day, uses in ((FIRST - timedelta(days=1), 1), (FIRST, 2)):
            for hour in range(uses):
                for pattern in ids:
                    used = {"used_at": day + timedelta(hours=hour), "success": True}
                    await layer.do("record_usage", pattern_id=pattern, usage_data=used)

    night.learning.use(work)


def uses_of_all(night: Night) -> list[tuple[datetime, int]]:
    return night.sides.execute(
        "SELECT period_start, total_usage_count FROM pattern_analytics WHERE pattern_id IS NULL ORDER BY 1"
    )


def without_vectors(point: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in point.items() if key not in ("vector", "words")}


def have_night(night: Night, number: int) -> None:
    """Let the hours of a night come, and see the runs that the scheduler starts by itself."""
    day = (FIRST, SECOND)[number - 1]
    night.airflow.let_come("pattern_sync_full", FIRST + FULL, day + FULL)
    night.airflow.let_come("pattern_analytics", FIRST - timedelta(days=1), day - timedelta(days=1))
    full = night.airflow.succeeded("pattern_sync_full", number)
    scored = night.airflow.succeeded("quality_backfill", number)
    analysed = night.airflow.succeeded("pattern_analytics", number)
    assert [run["run_type"] for run in (full, scored, analysed)] == ["scheduled", "asset_triggered", "scheduled"]
    assert night.airflow.xcom("pattern_sync_full", full["dag_run_id"], "sync")["parity"] == "proven"
    night.sides.assert_equal_sides()
    # Every pattern has the score of what is in Qdrant now.
    points = night.sides.points()
    assert len(points) == 200
    assert {key: (score, version) for key, (score, version, _) in scores(night).items()} == {
        key: (score_pattern(without_vectors(point)).composite, VERSION) for key, point in points.items()
    }


def test_two_nights_with_an_hour_between_them(night: Night) -> None:
    use_templates(night)
    have_night(night, 1)
    assert uses_of_all(night) == [(FIRST - timedelta(days=1), 4)]
    before = scores(night)

    ids = sorted(night.sides.points())
    changed, deleted = ids[:30], ids[30:40]
    night.sides.execute(
        "UPDATE pattern_lineage_nodes SET pattern_data = jsonb_build_object('code', %s::text) WHERE id = ANY(%s)",
        ["def other(value: int) -> int:\n    return value + 1\n", changed],
    )
    night.sides.execute("DELETE FROM pattern_lineage_nodes WHERE id = ANY(%s)", [deleted])
    night.sides.insert(rows(10, 200))
    night.airflow.let_come("pattern_sync_incremental", FIRST + BETWEEN, FIRST + BETWEEN)
    hour = night.airflow.succeeded("pattern_sync_incremental")
    assert hour["run_type"] == "scheduled"
    result = night.airflow.xcom("pattern_sync_incremental", hour["dag_run_id"], "sync")
    assert {name: result[name] for name in ("new", "changed", "deleted", "parked")} == {
        "new": 10,
        "changed": 30,
        "deleted": 10,
        "parked": 0,
    }
    night.sides.assert_equal_sides()

    have_night(night, 2)
    assert uses_of_all(night) == [(FIRST - timedelta(days=1), 4), (FIRST, 8)]
    after = scores(night)
    assert {key for key, score in after.items() if score != before.get(key)} == {*changed, *(after.keys() - before)}


def test_the_weekly_maintenance(night: Night) -> None:
    night.sides.execute(
        "INSERT INTO pattern_sync_runs (name, collection, kind, started_at) VALUES ('n', 'old', 'full', '2001-01-01')"
    )
    kept = night.sides.execute("SELECT count(*) FROM pattern_sync_runs WHERE collection <> 'old'")
    night.airflow.let_come("pattern_maintenance", SUNDAY, SUNDAY)
    run = night.airflow.succeeded("pattern_maintenance")
    assert run["run_type"] == "scheduled"
    where = ("pattern_maintenance", run["dag_run_id"])
    assert {task["state"] for task in night.airflow.tasks(*where).values()} == {"success"}
    assert night.airflow.xcom(*where, "prune")["runs"] == 1
    assert night.airflow.xcom(*where, "prune", key="summary").startswith("1 runs")
    assert night.airflow.xcom(*where, "tables")["findings"] == []
    assert night.sides.execute("SELECT count(*) FROM pattern_sync_runs WHERE collection = 'old'") == [(0,)]
    assert night.sides.execute("SELECT count(*) FROM pattern_sync_runs") == kept
    night.sides.assert_equal_sides()


def test_a_backup_of_both_sides(night: Night) -> None:
    if "PATTERNS_TEST_QDRANT_URL" not in os.environ:
        pytest.skip("only a Qdrant server makes snapshots: name one in PATTERNS_TEST_QDRANT_URL")
    night.airflow.pause("pattern_backup", False)
    run_id = night.airflow.trigger("pattern_backup", keep=1)
    night.airflow.done("pattern_backup", run_id)
    night.airflow.pause("pattern_backup")
    made = night.airflow.xcom("pattern_backup", run_id, "snapshot")
    assert made["points"] == len(night.sides.points())
    [(collection, progress)] = night.sides.execute("SELECT collection, progress FROM pattern_sync_backups")
    assert made["number"] == int(progress.split("-")[0])
    snapshots = httpx.get(f"{night.qdrant.url}/collections/{collection}/snapshots").json()["result"]
    assert [snapshot["name"] for snapshot in snapshots] == [made["snapshot"]]


REFUSED = {
    "schema_migration": [{"direction": "sideways"}, {"target": 12}, {"target": -1}, {"dry_run": "perhaps"}],
    "pattern_sync_full": [
        *({"batch_size": value} for value in (0, -1, 5_001, 1.5, "many")),
        *({"shards": value} for value in (0, 101)),
        *({"limit": 0}, {"delay_seconds": -1}, {"rollback": "no"}, {"collection": "execution_patterns"}),
    ],
    "pattern_sync_incremental": [{"interval_start": value} for value in ("yesterday", "2026-03-01T14:00:00", 5)],
    "pattern_verify": [{"heal": 7}, {"collection": "a/b"}],
    "quality_backfill": [{"min_confidence": 1.1}, {"batch_size": 0}, {"only_missing": "some"}, {"collection": "a/b"}],
    "pattern_analytics": [{"day": "2026-02-30"}, {"day": "20260301"}],
}


@pytest.mark.parametrize("dag_id", REFUSED)
def test_nonsense_starts_no_run(night: Night, dag_id: str) -> None:
    before = night.airflow.runs(dag_id)
    for params in REFUSED[dag_id]:
        answer = night.airflow.request("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": params})
        assert answer.status_code == 400, (params, answer.text)
        assert next(iter(params)) in answer.json()["detail"]
    assert night.airflow.runs(dag_id) == before


def test_a_misspelt_param_migrates_nothing(night: Night) -> None:
    run_id = night.airflow.trigger("schema_migration", dryrun=False)
    assert night.airflow.finished("schema_migration", len(night.airflow.runs("schema_migration")))["state"] == "failed"
    said = night.airflow.task_log("schema_migration", run_id, "plan", 1)
    assert any("unknown Param 'dryrun'" in line for line in said), said


def test_a_person_chooses_an_interval(night: Night) -> None:
    now = datetime.now(UTC)
    start, end = now - timedelta(days=30), now - timedelta(seconds=1)
    interval = {"interval_start": start.isoformat(), "interval_end": end.isoformat()}
    run_id = night.airflow.trigger("pattern_sync_incremental", **interval)
    night.airflow.succeeded("pattern_sync_incremental", len(night.airflow.runs("pattern_sync_incremental")))
    result = night.airflow.xcom("pattern_sync_incremental", run_id, "sync")
    assert (result["kind"], result["examined"]) == ("interval", len(night.sides.points()))


def answer_of_the_button(night: Night, conn_type: str, **fields: Any) -> tuple[bool, str]:
    """Press the Test button of a connection that is not saved yet."""
    body = {"connection_id": "not_saved", "conn_type": conn_type, **fields}
    answer = night.airflow.request("POST", "connections/test", json=body)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    # Airflow tests under a name that it makes up. Such a name would be quoted.
    assert "onnection '" not in said["message"]
    assert "not_saved" not in said["message"]
    return said["status"], said["message"]


def test_the_test_buttons(night: Night) -> None:
    postgres = night.sides.postgres
    database = {"host": postgres.host, "port": postgres.port, "schema": postgres.database, "login": postgres.user}
    database["password"] = postgres.password or ""
    well, said = answer_of_the_button(night, "postgres", **database)
    assert well, said
    assert "Logged in as" in said
    assert "The last migration is" in said
    well, said = answer_of_the_button(night, "postgres", **database | {"schema": "nowhere"})
    assert not well
    assert '"nowhere" does not exist' in said
    qdrant = {"extra": json.dumps({"url": night.sides.qdrant.url})}
    well, said = answer_of_the_button(night, "qdrant", **qdrant)
    assert well
    assert said.startswith("Reached Qdrant")
    assert f"'{night.sides.collection}'" in said
    well, said = answer_of_the_button(night, "qdrant", host="127.0.0.1", port=1)
    assert not well
    assert "this connection (http" in said
    well, said = answer_of_the_button(night, "embedding", extra=json.dumps({"api": "hashing", "dimension": 64}))
    assert well
    assert said.endswith("64 dimensions.")
    well, said = answer_of_the_button(night, "embedding", extra=json.dumps({"api": "magic"}))
    assert not well
    assert said.startswith("This connection")


def test_a_backfill_lets_other_runs_pass(night: Night) -> None:
    """Several of its runs are active and one at a time works; then somebody cancels it."""
    dag_id, hour = "pattern_sync_incremental", FIRST + BETWEEN + timedelta(hours=1)
    body = {
        "dag_id": dag_id,
        "from_date": (hour - timedelta(days=1)).isoformat(),
        "to_date": (hour - timedelta(hours=2)).isoformat(),
        "max_active_runs": 4,
    }
    backfill = night.airflow.request("POST", "backfills", json=body)
    assert backfill.status_code == 200, backfill.text

    def of_backfill(*states: str) -> list[str]:
        runs = night.airflow.runs(dag_id)
        return [run["dag_run_id"] for run in runs if run["run_type"] == "backfill" and run["state"] in states]

    night.airflow.wait("the backfill's first run", lambda: of_backfill("success"))
    night.sides.insert(rows(3, 210))
    night.airflow.let_come(dag_id, FIRST + BETWEEN, hour)
    night.airflow.done(dag_id, night.airflow.wait("the hourly run", lambda: night.airflow.scheduled(dag_id, hour)))
    night.airflow.done(dag_id, night.airflow.trigger(dag_id))
    assert of_backfill("queued")
    night.sides.settle()

    cancelled = night.airflow.request("PUT", f"backfills/{backfill.json()['id']}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    night.airflow.wait("the end of its active runs", lambda: not of_backfill("queued", "running"))
    assert night.sides.execute(LOCKS) == []
    night.sides.insert(rows(3, 220))
    night.airflow.done(dag_id, night.airflow.trigger(dag_id))
    night.sides.assert_equal_sides()


def test_a_failed_run_says_why_and_can_be_cleared(night: Night) -> None:
    night.sides.execute("ALTER TABLE pattern_lineage_nodes RENAME TO away")
    run_id = night.airflow.trigger("pattern_sync_incremental")
    number = len(night.airflow.runs("pattern_sync_incremental"))
    assert night.airflow.finished("pattern_sync_incremental", number)["state"] == "failed"
    where = ("pattern_sync_incremental", run_id, "sync")
    told = night.airflow.xcom(*where, key="failure")
    assert "lacks pattern_lineage_nodes" in told
    assert told.splitlines()[1:] == [
        "What to do: Run schema_migration first.",
        "Try 1 failed for good: another one would end the same.",
        "More about it: PAT-P-005 in docs/runbook.md.",
    ]
    # Airflow's own lines follow.
    log = night.airflow.task_log(*where, 1)
    assert log[log.index("Task failed with exception") - 1] == told.splitlines()[-1]

    night.sides.execute("ALTER TABLE away RENAME TO pattern_lineage_nodes")
    cleared = night.airflow.request(
        "POST",
        "dags/pattern_sync_incremental/clearTaskInstances",
        json={"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True},
    )
    # The deadline of the failed run is still there.
    assert cleared.status_code == 200, cleared.text
    night.airflow.succeeded("pattern_sync_incremental", number)
    night.sides.assert_equal_sides()


def test_an_outage_is_waited_for_in_the_task_and_then_by_airflow(night: Night) -> None:
    """Qdrant is down when a run starts, and is back before its third try."""
    night.sides.insert(rows(3, 240))
    night.sides.settle()
    night.qdrant.go_down()
    run_id = night.airflow.trigger("pattern_sync_incremental")
    where = ("pattern_sync_incremental", run_id, "sync")

    def failed_twice() -> bool:
        task = night.airflow.tasks(*where[:2])["sync"]
        return bool(task["try_number"] > 2 or (task["try_number"] == 2 and task["state"] == "up_for_retry"))

    night.airflow.wait("the end of the second try", failed_twice)
    night.qdrant.go_up()
    night.airflow.done(*where[:2])
    night.sides.assert_equal_sides()
    first, second, third, *_ = night.airflow.tries(*where)
    for number, task in enumerate((first, second), 1):
        assert task["state"] == "failed"
        log = night.airflow.task_log(*where, number)
        assert any("Try 2 follows in" in line for line in log), log
        # Airflow's own lines follow.
        ours = log[: log.index("Task failed with exception")]
        assert ours[-2] == f"Try {number} of 6 failed, another one follows."
        assert ours[-1] == "More about it: PAT-Q-001 in docs/runbook.md."
        said = " ".join(ours[-7:])
        for words in ("What is wrong:", "'patterns_qdrant'", "cannot connect", "at the start of the run."):
            assert words in said
    for minutes, before, after in ((2, first, second), (4, second, third)):
        waited = datetime.fromisoformat(after["start_date"]) - datetime.fromisoformat(before["end_date"])
        assert waited >= timedelta(minutes=minutes) / FASTER


def test_a_stopped_task_goes_on_where_it_was(night: Night) -> None:
    """A worker is told to stop in the middle of a run, while no triggerer and no DAG processor work."""
    new = rows(300, 300)
    night.sides.insert(new)
    night.sides.settle()
    [(to_write,)] = night.sides.execute(
        "SELECT count(*) - (SELECT coalesce(sum(created - deleted), 0) FROM pattern_sync_runs) "
        "FROM pattern_lineage_nodes"
    )
    night.qdrant.always["upsert"] = Fault(delay=0.5)
    written = night.qdrant.requests["upsert"]
    run_id = night.airflow.trigger("pattern_sync_incremental", batch_size=5)
    number = len(night.airflow.runs("pattern_sync_incremental"))
    night.airflow.wait("the first batches", lambda: night.qdrant.requests["upsert"] >= written + 20)
    where = ("pattern_sync_incremental", run_id, "sync")

    def ended() -> bool:
        task = night.airflow.tasks(*where[:2])["sync"]
        return bool(task["try_number"] > 1 or task["state"] in ("up_for_retry", "failed"))

    with night.airflow.halted("airflow triggerer", "airflow dag-processor"):
        task_id = night.airflow.tasks(*where[:2])["sync"]["id"]
        [supervisor] = night.airflow.processes(f"LocalExecutor: {task_id}")
        supervisor.terminate()
        night.airflow.wait("the end of the stopped try", ended, seconds=10)
    night.qdrant.heal()
    night.airflow.succeeded("pattern_sync_incremental", number)
    assert any("The task was told to stop" in line for line in night.airflow.task_log(*where, 1))
    night.sides.assert_equal_sides()
    [(first, stopped), (second, rest)] = night.sides.execute(
        "SELECT status, created FROM pattern_sync_runs WHERE dag_run_id = %s ORDER BY started_at", [run_id]
    )
    assert (first, second) == ("stopped", "succeeded")
    assert stopped > 0
    assert rest <= to_write - stopped


def changed(night: Night) -> uuid.UUID:
    """Commit a new pattern, and return its id."""
    row = {**rows(1, 800)[0], "id": uuid.uuid4(), "pattern_id": uuid.uuid4().hex}
    night.sides.insert([row])
    return uuid.UUID(str(row["id"]))


def found(night: Night, node_id: uuid.UUID) -> None:
    """Wait until a pattern is in Qdrant."""
    night.airflow.wait(f"the pattern {node_id}", lambda: node_id in night.sides.points())


def streams(night: Night, *states: str) -> list[str]:
    """The runs whose task of the stream is in one of the states; it is skipped where another stream is up."""
    runs = [run["dag_run_id"] for run in night.airflow.runs(STREAM)]
    return [run for run in runs if night.airflow.tasks(STREAM, run)["stream"]["state"] in states]


def the_stream(night: Night) -> str:
    """Wait until one stream alone is up, and none is to start; return its run."""

    def alone() -> str | None:
        waiting = [run for run in night.airflow.runs(STREAM) if run["state"] == "queued"]
        up = streams(night, "scheduled", "queued", "running")
        return up[0] if len(up) == 1 and not waiting else None

    return str(night.airflow.wait("one stream", alone))


def equal(night: Night) -> bool:
    try:
        night.sides.assert_equal_sides()
    except AssertionError:
        return False
    return True


def test_the_stream_is_there_when_there_is_work(night: Night) -> None:
    airflow = night.airflow
    night.sides.settle()
    airflow.done("pattern_sync_incremental", airflow.trigger("pattern_sync_incremental"))
    airflow.set_variable("pattern_stream_linger_seconds", "4")
    before = changed(night)
    airflow.pause(STREAM, False)
    # Airflow watches what it finds in the file of a DAG that is not paused.
    airflow.parse(STREAM)
    found(night, before)
    [worked, *_] = airflow.wait("the end of the quiet stream", lambda: streams(night, "success"))
    airflow.done(STREAM, worked)
    assert airflow.tasks(STREAM, worked)["compare"]["state"] == "skipped"
    summary = airflow.xcom(STREAM, worked, "stream", "summary")
    assert summary.startswith("1 new; lag 0 s")
    assert summary.endswith("ended: nothing has changed for 4 s")

    # Silence starts none, and the hourly run finds nothing to do.
    airflow.wait("silence", lambda: {run["state"] for run in airflow.runs(STREAM)} <= {"success"})
    number = len(airflow.runs(STREAM))
    airflow.set_variable("pattern_stream_linger_seconds", "600")
    hourly = airflow.trigger("pattern_sync_incremental")
    airflow.done("pattern_sync_incremental", hourly)
    assert airflow.xcom("pattern_sync_incremental", hourly, "sync")["examined"] == 0
    assert len(airflow.runs(STREAM)) == number

    # The next change does. While that stream is up, no change starts another one, and the hourly run has its turn.
    found(night, changed(night))
    first = the_stream(night)
    with race(night.sides, 2) as writers:
        airflow.done("pattern_sync_incremental", airflow.trigger("pattern_sync_incremental"))
        assert the_stream(night) == first

        # Worker and task die, so nobody can tell Airflow. The next stream does not wait until it notices.
        task = airflow.tasks(STREAM, first)["stream"]["id"]
        for worker in airflow.processes(f"LocalExecutor: {task}"):
            for process in (worker, *worker.children()):
                process.kill()
        commits = sum(writer.commits for writer in writers)
        abandoned = "SELECT status FROM pattern_sync_runs WHERE dag_run_id = %s"
        airflow.wait("the next stream", lambda: night.sides.execute(abandoned, [first]) == [("abandoned",)])
        time.sleep(2)
    assert sum(writer.commits for writer in writers) > commits
    airflow.wait("equal sides", lambda: equal(night))
    [second] = (run for run in streams(night, "running") if run != first)
    assert {run["run_type"] for run in airflow.runs(STREAM)} == {"asset_triggered"}

    # A paused one starts nothing, and a person can end the one that is up.
    airflow.pause(STREAM)
    for run in (first, second):
        ended = airflow.request("PATCH", f"dags/{STREAM}/dagRuns/{run}", json={"state": "failed"})
        assert ended.is_success, ended.text
    airflow.wait("the end of the stream", lambda: night.sides.execute(LOCKS) == [])
    number = len(airflow.runs(STREAM))
    left = changed(night)
    night.sides.settle()
    airflow.done("pattern_sync_incremental", airflow.trigger("pattern_sync_incremental"))
    found(night, left)
    night.sides.assert_equal_sides()
    assert len(airflow.runs(STREAM)) == number


def start_services(night: Night) -> tuple[int, str]:
    """Do what Compose does at every start; return the exit status and what it printed."""
    done = subprocess.run(
        [sys.executable, ROOT / "include" / "deploy" / "first_sync.py"],
        env=os.environ | {"AIRFLOW_API_URL": night.airflow.url, "AIRFLOW_ADMIN_PASSWORD": "any"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_the_first_start_unpauses_the_dags_and_later_ones_respect_a_persons_choice(night: Night) -> None:
    for dag_id in DAGS:
        night.airflow.pause(dag_id)
    night.sides.insert(rows(5, 700))
    status, said = start_services(night)
    assert status == 0, said
    assert (
        said.splitlines()[-1] == "Parity is proven. All DAGs but pattern_sync_stream and pattern_backup are unpaused."
    )
    # The stream costs a task slot all the time and the backup disk, so a person decides.
    assert night.airflow.paused() == {"pattern_sync_stream", "pattern_backup"}
    night.sides.assert_equal_sides()
    assert night.airflow.get("variables/pattern_sync_started")["value"]

    chosen = {"pattern_sync_full", "quality_backfill"}
    for dag_id in chosen:
        night.airflow.pause(dag_id)
    status, said = start_services(night)
    assert status == 0, said
    assert said.splitlines()[-1] == "'pattern_sync_full' is paused and stays so: nothing is synced, nothing is proven."
    assert night.airflow.paused() == {*chosen, "pattern_sync_stream", "pattern_backup"}

    night.airflow.pause("schema_migration")
    status, said = start_services(night)
    assert status == 1
    assert said.splitlines() == [
        "pattern-sync-init: 'schema_migration' is paused, so the schema cannot be brought up to date. Unpause it."
    ]
    assert night.airflow.paused() == {*chosen, "pattern_sync_stream", "pattern_backup", "schema_migration"}
