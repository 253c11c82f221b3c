"""The pure parts of the soak: which faults come, what counts as growth, what counts as a difference."""

import contextlib
import json
import random
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import cast
from xml.etree import ElementTree

import psutil
import pytest

from soak.comparison import differences
from soak.faults import Fault, Kind, Window, schedule, under_way
from soak.injection import Injection
from soak.ledger import Ledger
from soak.picture import Picture
from soak.proxy import TcpProxy
from soak.records import Answered, Connected, Held, RunSeen
from soak.stage import Stage
from soak.trend import slope
from soak.verdict import KINDS, MIB, Record, flatness, judge, told


def test_a_seed_chooses_the_faults() -> None:
    assert list(islice(schedule(7), 90)) == list(islice(schedule(7), 90))
    assert list(islice(schedule(7), 90)) != list(islice(schedule(8), 90))


def test_each_kind_comes_once_before_any_comes_again() -> None:
    kinds = [fault.kind for fault in islice(schedule(1), 3 * len(Kind))]
    for number in range(3):
        assert set(kinds[number * len(Kind) :][: len(Kind)]) == set(Kind)
    assert Kind.FULL_DISK not in {fault.kind for fault in islice(schedule(1, set(Kind) - {Kind.FULL_DISK}), 90)}


def test_a_fault_reaches_what_overlaps_it() -> None:
    windows = [Window(Kind.KILL_QDRANT, 100, 110)]
    assert under_way(windows, 90, 101, after=2)
    assert under_way(windows, 111, 115, after=2)
    assert not under_way(windows, 90, 99, after=2)
    assert not under_way(windows, 113, 115, after=2)
    assert not under_way([replace(windows[0], skipped="why")], 100, 110, after=2)


@pytest.mark.parametrize("true", [0.0, 0.01])
def test_the_interval_holds_the_true_slope_of_processes_with_levels_of_their_own(true: float) -> None:
    draw = random.Random(3)
    held = 0
    for _ in range(60):
        segments = [
            [(second, level + true * second + draw.gauss(0, 1)) for second in range(0, 900, 5)] for level in (100, 300)
        ]
        found = slope(segments)
        assert found
        held += found.low <= true <= found.high
    assert 52 <= held <= 60


def test_samples_that_follow_each_other_widen_the_interval() -> None:
    draw = random.Random(3)
    wandering, value = [], 0.0
    for second in range(0, 2000, 5):
        value = 0.9 * value + draw.gauss(0, 1)
        wandering.append((float(second), value))
    shuffled = [(at, draw.choice(wandering)[1]) for at, _ in wandering]
    one, other = slope([wandering]), slope([shuffled])
    assert one
    assert other
    assert one.high - one.low > 2 * (other.high - other.low)


def test_what_grows_smoothly_has_a_slope_though_each_sample_resembles_the_one_before() -> None:
    found = slope([[(float(at), 458 + 4 * (at / 1200) ** 2) for at in range(0, 1200, 5)]])
    assert found
    assert 3 < found.value * 1200 < 5
    assert found.low > 0


def test_few_samples_have_no_slope() -> None:
    assert slope([]) is None
    assert slope([[(0, 1), (5, 2)]]) is None
    assert slope([[(float(at), 1.0) for at in range(5)]]) is None


def test_rows_and_points_are_compared_by_what_rows_hold() -> None:
    same, other, missing, orphaned = (uuid.UUID(int=number) for number in range(4))
    row = {"code": "x", "metadata": {"a": 1}}
    found = differences(
        {same: row, other: row, missing: row},
        {same: {**row, "text": "more"}, other: {**row, "metadata": {}}, orphaned: row},
    )
    assert (found.missing, found.orphaned, found.different) == ({missing}, {orphaned}, {other})
    assert str(found).startswith("1 missing, 1 orphaned, 1 different, such as")


def test_a_run_promises_what_was_over_when_it_began_and_has_not_changed_since() -> None:
    old, young, touched = (uuid.UUID(int=number) for number in range(3))
    ledger = Ledger()
    ledger.changed([old, touched], 5)
    ledger.changed([young], 9)
    promised = ledger.promised(9, float("inf"))
    assert set(promised) == {old, touched}
    with ledger.touching([touched]):
        assert ledger.unchanged(promised) == {old}
    ledger.changed([old], 12)
    assert ledger.unchanged(promised) == {touched}
    assert ledger.promised(9, 0.0) == {}


@pytest.fixture
def echo() -> Iterator[int]:
    """Port of a server that sends back what it gets."""

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionResetError):
            while data := connection.recv(100):
                connection.sendall(data)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _connect(proxy: TcpProxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    connection.sendall(b"one")
    return connection


def test_more_sessions_of_postgres_have_more_files() -> None:
    def held(at: int, sessions: int, files: int) -> Held:
        return Held(at, "postgres", 1, MIB, sessions * files, sessions, sessions)

    record = replace(_record(), held=[held(at, 14 if at < 300 else 17, 15 if at < 300 else 21) for at in range(600)])
    assert judge(record) == []
    leaking = replace(_record(), held=[held(at, 14, 15 if at < 300 else 60) for at in range(600)])
    assert judge(leaking) == ["postgres: files: 15 at the start, 60 at the end"]


def test_a_network_is_lost_and_comes_back(echo: int) -> None:
    with TcpProxy(echo) as proxy:
        with _connect(proxy) as first, _connect(proxy) as second:
            assert (first.recv(100), second.recv(100)) == (b"one", b"one")
            assert proxy.connections == 2
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                first.recv(100)
        with _connect(proxy) as third:
            assert third.recv(100) == b"one"
            proxy.stall()
            third.settimeout(0.2)
            third.sendall(b"two")
            with pytest.raises(TimeoutError):
                third.recv(100)
            proxy.heal()
            third.settimeout(5)
            assert third.recv(100) == b"two"
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                third.recv(100)
        with pytest.raises(ConnectionError), _connect(proxy) as fourth:
            fourth.recv(100)
        proxy.heal()
        with _connect(proxy) as fifth:
            assert fifth.recv(100) == b"one"


def _record() -> Record:
    """Ten minutes in which all went well."""
    return Record(
        seed=1,
        minutes=10,
        begin=0,
        end=600,
        living=330,
        warm=(20, 60),
        quiet=(560, 600),
        windows=[Window(Kind.KILL_QDRANT, 100, 110), Window(Kind.KILL_SCHEDULER, 200, 210)],
        runs=[RunSeen(kind, f"{kind} & co", "success", 50, 60, 10) for kind in KINDS],
        held=[Held(at, "qdrant", 1, 100 * MIB + at % 7, 20, 10, 1) for at in range(0, 600, 5)],
        connected=[Connected(at, 5, 5, 5) for at in range(0, 600, 5)],
        lag=[(at, 0.5) for at in range(600)],
        arrivals=[0.5],
        searches=[Answered(at, 0.05, "") for at in range(600)],
        commits=100,
    )


def _held(growth: float = 0.0, files: int = 0) -> list[Held]:
    return [
        Held(at, "qdrant", 1, round(100 * MIB + growth * at * MIB), 20 + (files if at > 300 else 0), 10, 1)
        for at in range(0, 1800, 5)
    ]


class Workers:
    """A stage with nothing but a scheduler and one worker, which are real processes.

    :param takes_tasks: whether a task begins after a worker was killed
    """

    def __init__(self, takes_tasks: bool) -> None:
        worker = [sys.executable, "-c", "import time; time.sleep(60)", "airflow worker -- LocalExecutor: <idle>"]
        starter = "import json, subprocess, sys; subprocess.Popen(json.loads(sys.argv[1])).wait(); input()"
        self.process = subprocess.Popen([sys.executable, "-c", starter, json.dumps(worker)], stdin=subprocess.PIPE)
        self.did: list[str] = []
        self._takes_tasks = takes_tasks

    def sessions(self) -> dict[str, list[psutil.Process]]:
        scheduler = psutil.Process(self.process.pid)
        return {"scheduler": [scheduler, *scheduler.children(recursive=True)]}

    def takes_tasks(self) -> bool:
        return self._takes_tasks

    def stop(self, role: str) -> None:
        self.did.append(f"stop {role}")

    def start(self, role: str) -> None:
        self.did.append(f"start {role}")


@pytest.mark.parametrize("takes_tasks", [True, False])
def test_a_scheduler_that_takes_no_task_after_a_worker_was_killed_is_restarted(takes_tasks: bool) -> None:
    stage = Workers(takes_tasks)
    try:
        window = Injection(cast("Stage", stage)).run(Fault(Kind.KILL_WORKER, 0, 3, 0.5))
        assert psutil.wait_procs(stage.sessions()["scheduler"][1:], timeout=20)[1] == []
    finally:
        stage.process.kill()
        stage.process.communicate()
    assert not window.skipped
    assert stage.did == ([] if takes_tasks else ["stop scheduler", "start scheduler"])
    lines = told(replace(_record(), windows=[window]))
    assert any("worker killed" in line and ("scheduler was restarted" in line) is not takes_tasks for line in lines)


def test_an_hour_in_which_all_went_well_is_passed() -> None:
    assert judge(_record()) == []
    assert told(_record())[-1] == "Nothing is wrong."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"troubles": ["a writer ended"]}, "a writer ended"),
        ({"runs": [replace(_record().runs[0], missed="1 missing")]}, "reported success: 1 missing"),
        ({"runs": [RunSeen("hourly", "r", "failed", 400, 410)]}, "r failed, and no fault"),
        ({"runs": []}, "no stream run has succeeded"),
        ({"searches": [Answered(300, 0.1, "OutageError: away")]}, "OutageError: away"),
        ({"searches": [Answered(205, 0.1, "OutageError: away")]}, "OutageError: away"),
        ({"searches": [Answered(105, 0.1, "'f' did not find it")]}, "did not find it"),
        ({"held": _held(growth=0.02)}, "memory of 'qdrant' grows"),
        ({"held": _held(files=30)}, "qdrant: files: 20 at the start, 50 at the end"),
        ({"connected": [Connected(at, 5, at // 10, 5) for at in range(0, 600, 5)]}, "postgres_network"),
        # What watches has ended in the middle, or has never seen anything.
        ({"held": [one for one in _record().held if one.at < 300]}, "no process was measured at the end"),
        ({"connected": [one for one in _record().connected if one.at < 300]}, "no connection was counted at the end"),
        ({"searches": []}, "no search has succeeded"),
        ({"searches": _record().searches[:300]}, "no search has succeeded since second 299"),
        ({"runs": [replace(run, promised=0) for run in _record().runs]}, "no success was compared"),
        ({"arrivals": []}, "no change was seen in Qdrant"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], said: str) -> None:
    assert any(said in line for line in judge(replace(_record(), **change)))


def test_memory_counts_from_ten_minutes_after_the_last_program_was_ended() -> None:
    # Until then it fills again what it has lost.
    filling = [Held(at, "qdrant", 1, min(at, 900) * MIB, 20, 10, 1) for at in range(0, 1800, 5)]
    [found] = flatness(replace(_record(), held=filling))
    assert found.slope
    assert (found.slope.value, found.grows) == (0, False)


def test_an_outage_is_excused_while_its_fault_is_under_way() -> None:
    excused = replace(_record(), searches=[*_record().searches, Answered(95, 10, "OutageError: away")])
    excused = replace(excused, runs=[*excused.runs, RunSeen("hourly", "r", "failed", 105, 130)])
    assert judge(excused) == []


def test_the_picture_is_well_formed() -> None:
    root = ElementTree.fromstring(Picture(_record()).svg())  # noqa: S314  (our own picture)
    assert any("hourly & co" in (title.text or "") for title in root.iter("{http://www.w3.org/2000/svg}title"))
