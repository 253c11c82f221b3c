"""``make soak``: everything at once, under faults, and a verdict."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import httpx
import psutil
import psycopg

from code_patterns.errors import PatternsError
from demo.command import INTERRUPTED
from demo.errors import DemoError
from demo.processes import marked
from demo.screen import Screen
from demo.stack import Workplace, clear, workplace
from soak import HOME
from soak.arrivals import Arrivals
from soak.disk import unmount
from soak.faults import LIVING_SHARE, QUIET_AFTER, QUIET_BEFORE, Kind, schedule
from soak.injection import Injection
from soak.ledger import Ledger
from soak.picture import Picture
from soak.records import Answered
from soak.runs import RunWatcher
from soak.samples import Sampler
from soak.stage import DISK, FULL, INCREMENTAL, SEARCHED, Stage
from soak.verdict import Record, flatness, judge, told
from soak.writers import Writer

WRITERS = 3
STREAMS = 3
"""Streams that follow each other, if nobody kills one."""
BACKFILLED = timedelta(minutes=9)
BACKFILLS = (0.3, 0.7)
"""After which shares of the time a backfill is asked for."""
DRAIN_SECONDS = 600.0
QUIET_SECONDS = 45.0
LEFT_SECONDS = 10.0
_REPORT, _TABLE, _PICTURE = HOME / "report.txt", HOME / "report.json", HOME / "timeline.svg"


class Soak:
    """One soak, from the first commit to the last comparison.

    :param stage: all servers, migrated
    :param seed: chooses what happens
    :param minutes: how long writers work
    :param screen: shows the progress
    """

    def __init__(self, stage: Stage, seed: int, minutes: float, screen: Screen) -> None:
        self._stage = stage
        self._seed = seed
        self._seconds = minutes * 60
        self._screen = screen
        self._ledger = Ledger()
        self._ledger.changed([row.id for row in stage.rows.loaded], 0)
        self._injection = Injection(stage)
        self._sampler = Sampler(stage.sessions, stage.sides, stage.postgres_proxy, stage.qdrant_proxy)
        self._arrivals = Arrivals(stage.sides, self._ledger)
        self._watcher = RunWatcher(stage.client(), stage.sides, self._ledger, self._sampler)
        self._troubles: list[str] = []
        self._begin = time.time()
        self._living = self._begin + (1 - LIVING_SHARE) * self._seconds

    def run(self) -> Record:
        """Do all of it. If something does not come back, that ends it early, and what was seen until then is told."""
        self._stage.start("searches")
        for thread in (self._sampler, self._arrivals, self._watcher):
            thread.start()
        quiet = end = time.time()
        try:
            with self._writing() as writers:
                self._let_faults_happen()
            self._troubles += [f"a writer ended with {writer.error!r}" for writer in writers if writer.error]
            with self._screen.step("Writers have stopped; everything settles"):
                self._drain()
            self._stage.end_searches()
            quiet = time.time()
            self._pass(QUIET_SECONDS)
            end = time.time()
            self._look_at_the_end()
        except DemoError as error:
            quiet = end = time.time()
            self._troubles.append(f"it ended after {end - self._begin:.0f} s: {error}")
        for thread in (self._watcher, self._arrivals, self._sampler):
            thread.end()
        if self._watcher.error:
            self._troubles.append(f"runs could not be watched: {self._watcher.error!r}")
        return Record(
            seed=self._seed,
            minutes=self._seconds / 60,
            begin=self._begin,
            end=end,
            living=self._living,
            warm=(self._begin + QUIET_BEFORE / 3, self._begin + QUIET_BEFORE),
            quiet=(min(quiet + QUIET_SECONDS / 3, end), end),
            windows=self._injection.windows,
            runs=list(self._watcher.runs.values()),
            held=self._sampler.held,
            connected=self._sampler.connected,
            lag=[(lag.at, lag.seconds) for lag in self._arrivals.lags],
            arrivals=self._arrivals.seconds,
            searches=_searches(),
            commits=self._ledger.commits,
            troubles=self._troubles,
        )

    @contextmanager
    def _writing(self) -> Iterator[Sequence[Writer]]:
        free = [row.id for row in self._stage.rows.loaded if row.id not in self._stage.stable()]
        # Copies with the names that are searched for would hide the originals.
        code = [row for row in self._stage.rows.loaded if row.id not in self._stage.stable()]
        writers = [
            Writer(self._stage.dsn, self._ledger, code, free[number::WRITERS], self._seed * WRITERS + number)
            for number in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        try:
            yield writers
        finally:
            for writer in writers:
                writer.end()
            for writer in writers:
                writer.join()

    def _let_faults_happen(self) -> None:
        kinds = [kind for kind in Kind if kind is not Kind.FULL_DISK or self._stage.disk]
        backfills = [self._begin + share * self._seconds for share in BACKFILLS]
        last = self._begin + self._seconds - QUIET_AFTER
        self._pass(QUIET_BEFORE)
        for fault in schedule(self._seed, kinds):
            if fault.kind.ends_a_program and time.time() >= self._living:
                continue
            self._pass(fault.pause)
            if backfills and time.time() > backfills[0] and self._backfill():
                backfills.pop(0)
            if time.time() + fault.seconds > last:
                break
            window = self._injection.run(fault)
            self._screen.say(f"{window.begin - self._begin:6.0f} s {window.end - window.begin:6.1f} s  {window.told}")
        self._pass(self._begin + self._seconds - time.time())

    def _pass(self, seconds: float) -> None:
        """Let time pass, and start again what ends by itself."""
        end = time.time() + seconds
        while time.time() < end:
            for role in self._stage.died():
                self._troubles.append(f"'{role}' ended by itself {time.time() - self._begin:.0f} s after the start")
                self._stage.clear(role)
                self._stage.start(role)
            time.sleep(min(1.0, max(0.0, end - time.time())))

    def _backfill(self) -> bool:
        end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=3)
        body = {
            "dag_id": INCREMENTAL,
            "from_date": (end - BACKFILLED).isoformat(),
            "to_date": end.isoformat(),
            "max_active_runs": 1,
            # Most of these hours have had their run.
            "reprocess_behavior": "completed",
        }
        try:
            self._stage.api.request("POST", "/api/v2/backfills", json=body)
        except DemoError:
            # The API server has just been started, or a backfill is still at work.
            return False
        return True

    def _drain(self) -> None:
        """Wait until both sides are equal, and a night and its scoring after that are over."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while not self._is_equal():
            if time.monotonic() > deadline:
                self._troubles.append(f"both sides are not equal {DRAIN_SECONDS:.0f} s after the last commit")
                return
            self._pass(2)
        asked = time.time()
        self._stage.api.trigger(FULL, {})
        for kind in ("nightly", "scoring"):
            while not self._succeeded_since(kind, asked):
                if time.monotonic() > deadline:
                    self._troubles.append(f"no {kind} run has succeeded {DRAIN_SECONDS:.0f} s after the last commit")
                    return
                self._pass(2)

    def _is_equal(self) -> bool:
        try:
            return not self._stage.sides.compare().ids
        except (psycopg.Error, httpx.HTTPError):
            return False

    def _succeeded_since(self, kind: str, moment: float) -> bool:
        return any(
            run.kind == kind and run.state == "success" and run.begin > moment
            for run in list(self._watcher.runs.values())
        )

    def _look_at_the_end(self) -> None:
        sides = self._stage.sides
        found = sides.compare()
        if found.ids:
            self._troubles.append(f"at the end both sides differ: {found}")
        for node_id, error in sides.ask("parked"):
            self._troubles.append(f"row {node_id} is parked: {error}")
        if unscored := sides.ask("unscored"):
            self._troubles.append(f"{len(unscored)} patterns have no score, such as {unscored[0][0]}")
        if unfinished := sides.ask("unfinished_runs")[0][0]:
            self._troubles.append(f"the sync's own history says that {unfinished} runs still run")
        known = self._stage.metadata_processes() | {
            member.pid for family in self._stage.sessions().values() for member in family
        }
        for process in marked(HOME):
            # Tasks end and begin while this looks: what is not known at first has ended in a moment.
            if process.pid not in known:
                _, alive = psutil.wait_procs([process], timeout=LEFT_SECONDS)
                with contextlib.suppress(psutil.Error):
                    self._troubles += [
                        f"a process is left: {left.pid} {' '.join(left.cmdline())[:120]}" for left in alive
                    ]


def _searches() -> Sequence[Answered]:
    found = []
    for line in SEARCHED.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError):
            found.append(Answered(**json.loads(line)))
    return found


def _write(record: Record) -> None:
    _REPORT.write_text("\n".join(told(record)) + "\n", "utf-8")
    table = {
        **{
            name: value for name, value in asdict(record).items() if name not in ("held", "searches", "lag", "arrivals")
        },
        "windows": [{**asdict(window), "kind": window.kind.value} for window in record.windows],
        "memory": [asdict(one) for one in flatness(record)],
        "wrong": judge(record),
    }
    _TABLE.write_text(json.dumps(table, indent=1, default=str), "utf-8")
    _PICTURE.write_text(Picture(record).svg(), "utf-8")


def _soak(place: Workplace, screen: Screen, seed: int, minutes: float) -> int:
    unmount(DISK)
    clear(HOME)
    (HOME / "logs").mkdir()
    with ExitStack() as held:
        stage = Stage(place, screen, held)
        # Some streams must end by themselves: their success is judged too.
        stage.migrate(max(1, round(minutes / STREAMS)))
        screen.title(f"{minutes:g} minutes of faults, seed {seed}")
        record = Soak(stage, seed, minutes, screen).run()
    _write(record)
    screen.title("What was seen", *told(record), "", f"Written to {_REPORT}, {_TABLE.name} and {_PICTURE.name}")
    return int(bool(judge(record)))


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long writers work; at least 5")
    parser.add_argument("--seed", type=int, default=1, help="chooses faults and changes")
    chosen = parser.parse_args()
    if chosen.minutes < 5:
        parser.error("--minutes must be at least 5: a night and its scoring take that long")
    screen = Screen()
    try:
        with workplace(screen, HOME) as place:
            return _soak(place, screen, chosen.seed, chosen.minutes)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (DemoError, PatternsError) as error:
        sys.stdout.flush()
        sys.stderr.write(f"\n{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
