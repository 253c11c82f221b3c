"""One random sequence of what the world does, and of runs.

Every rule that disturbs something leaves work behind and goes on with runs, so that a disturbance that is not noticed
shows at once. Each rule says which error it expects; any other one fails the sequence, and so does none.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from code_patterns.errors import ConfigurationError, OutageError, PatternsError
from tests.integration.world.database import CHANGES
from tests.integration.world.points import Snapshot
from tests.integration.world.world import TROUBLE, World

SETTINGS = {
    "timezone": "Asia/Kathmandu",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "0",
    "search_path": "pg_catalog",
    "client_encoding": "LATIN1",
    "default_transaction_read_only": "on",
    "statement_timeout": "1",
}
ENVIRONMENT = {
    "PGTZ": "America/St_Johns",
    "PGCLIENTENCODING": "SQL_ASCII",
    "PGDATESTYLE": "German",
    "PGOPTIONS": "-c statement_timeout=1",
    "PGHOSTADDR": "192.0.2.1",
    "PGSERVICE": "another",
}
Strategies = dict[str, st.SearchStrategy[Any]]

DISTURBANCES: dict[str, tuple[str, Strategies]] = {}
"""Method and arguments of every disturbance, by its name."""
_CHOSEN = os.environ.get("PATTERNS_WORLD_EVENTS")

THEN = st.sampled_from([("incremental",), ("verify", "incremental"), ("interval", "incremental"), ("full",)])
"""The runs that follow a disturbance; the last one owes equal contents."""
KINDS = st.sampled_from(["incremental", "full", "verify", "interval"])


def disturbance(event: str, **strategies: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """Make a rule of a disturbance that PATTERNS_WORLD_EVENTS allows."""

    def register(method: Any) -> Any:
        if _CHOSEN and event not in _CHOSEN.split(","):
            return method
        DISTURBANCES[event] = method.__name__, strategies
        return rule(**strategies)(method)

    return register


class Sequence(RuleBasedStateMachine):
    """One sequence.

    :cvar start: makes a world
    :cvar opening: the first disturbance; ``None`` is any
    :cvar events: how often everything happened
    :cvar runs: how often each kind of run ended how
    """

    start: ClassVar[Callable[[], World]]
    opening: ClassVar[str | None] = None
    events: ClassVar[Counter[str]]
    runs: ClassVar[Counter[tuple[str, str]]]

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).start()
        self.pending = False
        """Whether rows have changed that no run has brought over yet."""
        self.disturbed = False
        """Whether a verification may have something to say, because no run has compared everything since."""
        self.unrecorded = False
        """Whether changes are made that no trigger sees."""
        self.copies: list[tuple[str, bool, bool]] = []
        self.snapshots: list[Snapshot] = []

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._calm_down()
        finally:
            self.world.close()

    def _calm_down(self) -> None:
        """Whatever happened, two runs of a calm world end it."""
        self._end_late()
        self.world.mend_embeddings()
        self._work()
        self._run("incremental", retry_dead_letters=True)
        assert self.world.dead_letters() == set()
        assert self.world.unequal() == set(), "an incremental run of a calm world leaves something"
        self._run("verify")

    @initialize(data=st.data())
    def open(self, data: st.DataObject) -> None:
        """Begin with a disturbance, because most other rules are only interesting after one."""
        event = self.opening or data.draw(st.sampled_from(sorted(DISTURBANCES)))
        method, strategies = DISTURBANCES[event]
        getattr(self, method)(**{name: data.draw(strategy) for name, strategy in strategies.items()})

    # Writes

    @rule(count=st.integers(1, 4), what=st.sampled_from(sorted(CHANGES)), share=st.integers(1, 3))
    def write(self, count: int, what: str, share: int) -> None:
        self._happens("write")
        self.world.database.insert(count)
        self.world.database.change(what, share)
        self.pending = True

    @rule(share=st.integers(1, 3))
    def delete(self, share: int) -> None:
        self._happens("delete")
        self.world.database.delete(share)
        self.pending = True

    @rule(then=THEN)
    def truncate(self, then: tuple[str, ...]) -> None:
        self._happens("truncate")
        self.world.database.truncate()
        self.pending = True
        self._follow(then)

    @disturbance(
        "late commits",
        count=st.integers(1, 3),
        kind=KINDS,
        end=st.sampled_from(["commit", "rollback", "later"]),
        then=THEN,
    )
    def late_commits(self, count: int, kind: str, end: str, then: tuple[str, ...]) -> None:
        self._happens("late commits", end)
        self._end_late()
        self.world.database.begin(count)
        self._work()
        self._run(kind)
        if end != "later":
            self.world.database.end_open(commit=end == "commit")
        self._follow(then)

    # Sessions

    @disturbance(
        "settings",
        names=st.sets(st.sampled_from(sorted(SETTINGS)), min_size=6),
        whose=st.sampled_from(["database", "role"]),
        then=THEN,
    )
    def settings(self, names: set[str], whose: str, then: tuple[str, ...]) -> None:
        for name in sorted(names):
            self._happens("settings", name)
            self.world.database.set_for(whose, name, SETTINGS[name])
        self._work()
        self._follow(then)

    @disturbance("environment", names=st.sets(st.sampled_from(sorted(ENVIRONMENT)), min_size=3), then=THEN)
    def environment(self, names: set[str], then: tuple[str, ...]) -> None:
        for name in sorted(names):
            self._happens("environment", name)
        self.world.environment = {name: ENVIRONMENT[name] for name in names}
        self._work()
        self._follow(then)

    @disturbance("hidden rows", kind=KINDS, remedy=st.sampled_from(["bypass", "policy"]), then=THEN)
    def hidden_rows(self, kind: str, remedy: str, then: tuple[str, ...]) -> None:
        self._happens("hidden rows", remedy)
        self._end_late()
        self.world.database.hide_rows()
        self._work()
        self._refused(kind)
        self.world.database.show_rows(remedy)
        self._follow(then)

    # Capture

    @disturbance("replica", then=THEN)
    def replica(self, then: tuple[str, ...]) -> None:
        self._happens("replica")
        self._end_late()
        self.world.database.as_replica()
        self.pending = True
        self._follow(then)

    @disturbance(
        "triggers",
        how=st.sampled_from(["disable", "drop", "swap"]),
        migration=st.sampled_from(["never", "before", "after"]),
        then=THEN,
    )
    def triggers(self, how: str, migration: str, then: tuple[str, ...]) -> None:
        self._happens("triggers", f"{how}, migrated {migration}")
        self._end_late()
        self.world.database.lose_triggers(how)
        self.disturbed = self.unrecorded = True
        if migration == "before":
            self._migrate()
        self._follow(then)
        if migration == "after":
            self._migrate()
            self._work()
            self._follow(("incremental",))

    # Identity

    @disturbance("restored database", then=THEN, older=st.booleans(), day=KINDS)
    def restored_database(self, then: tuple[str, ...], older: bool, day: str) -> None:
        self._happens("restored database")
        if not (older and self.copies):
            self._end_late()
            self.copies.append((self.world.database.snapshot(), self.pending, self.unrecorded))
        self._work()
        self._run(day)
        copy, self.pending, self.unrecorded = self.copies[0 if older else -1]
        self.world.database.restore(copy)
        self.disturbed = True
        self._follow(then)

    @disturbance("restored points", then=THEN, older=st.booleans(), day=KINDS, work=st.booleans())
    def restored_points(self, then: tuple[str, ...], older: bool, day: str, work: bool) -> None:
        self._happens("restored points")
        if not (older and self.snapshots):
            self.snapshots.append(self.world.points.snapshot())
        self._work()
        self._run(day)
        self.world.points.restore(self.snapshots[0 if older else -1])
        self.disturbed = True
        if work:
            self._work()
        self._follow(then)

    @disturbance("exchanged collection", how=st.sampled_from(["lost", "empty"]), then=THEN)
    def exchanged_collection(self, how: str, then: tuple[str, ...]) -> None:
        self._happens("exchanged collection", how)
        if how == "lost":
            self.world.points.lose()
        else:
            self.world.points.exchange()
        self.disturbed = True
        self._follow(then)

    @disturbance("foreign collection", how=st.sampled_from(["curated", "dot"]), kind=KINDS, then=THEN)
    def foreign_collection(self, how: str, kind: str, then: tuple[str, ...]) -> None:
        self._happens("foreign collection", how)
        other = self.world.points.lead_astray(how)
        self._work()
        self._refused(kind)
        self.world.points.client.delete_collection(other)
        self.disturbed = True
        self._follow(then)

    @disturbance("foreign database", kind=KINDS, then=THEN)
    def foreign_database(self, kind: str, then: tuple[str, ...]) -> None:
        self._happens("foreign database")
        self._end_late()
        self.world.database.move()
        self._work()
        self._refused(kind)
        self._run("full", take_over=True)
        self._work()
        self._follow(then)

    # Servers

    @disturbance("poison", then=THEN, mended=st.booleans())
    def poison(self, then: tuple[str, ...], mended: bool) -> None:
        self._happens("poison")
        self.world.poison()
        self.pending = True
        self._follow(then)
        if mended:
            self.world.mend_embeddings()

    @disturbance("trouble", which=st.sampled_from(["embeddings", *TROUBLE]), then=THEN)
    def trouble(self, which: str, then: tuple[str, ...]) -> None:
        self._happens("trouble", which)
        self._work()
        with self.world.trouble(which):
            self._follow(then)

    @disturbance("outage", where=st.sampled_from(["writes", "qdrant", "embeddings", "postgres"]), kind=KINDS, then=THEN)
    def outage(self, where: str, kind: str, then: tuple[str, ...]) -> None:
        self._happens("outage", where)
        self._end_late()
        self._work()
        if where == "writes" and kind == "verify":
            kind = "incremental"
        with self.world.outage(where):
            self._run(kind, must=OutageError)
        self._follow(then)

    @disturbance("kill", kind=KINDS, requests=st.integers(1, 12), then=THEN)
    def killed(self, kind: str, requests: int, then: tuple[str, ...]) -> None:
        self._happens("kill", kind)
        self._work()
        self.world.run_killed(kind, requests)
        self.disturbed = True
        self._follow(then)

    # Runs

    @rule(kind=KINDS)
    def calm_run(self, kind: str) -> None:
        self._run(kind)

    def _follow(self, kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            self._run(kind)

    def _refused(self, kind: str) -> None:
        """Run, and expect that a person must do something first and that nothing is written."""
        before = self.world.points.stored()
        self._run(kind, must=ConfigurationError)
        assert self.world.points.stored() == before, "a refused run has written"

    def _run(self, kind: str, *, must: type[PatternsError] | None = None, **settings: Any) -> None:
        """Run, and check what the run says.

        :param must: the error that it owes
        """
        try:
            self.world.run(kind, **settings)
        except PatternsError as error:
            self.runs[kind, type(error).__name__] += 1
            # It may name what differs; whether it does is the matter of other tests.
            told = kind == "verify" and (self.disturbed or (self.unrecorded and self.pending))
            if not isinstance(error, must or (ConfigurationError if told else ())):
                raise
            return
        self.runs[kind, "success"] += 1
        assert must is None, f"a {kind} run said success where it owes {must}"
        late = self.world.database.is_open
        if kind == "full" or (kind == "incremental" and not late):
            assert self.world.unequal() <= self.world.dead_letters(), f"{kind} said success"
            self.pending, self.disturbed = late, False
        elif kind == "verify" and not self.pending:
            assert self.world.unequal() <= self.world.dead_letters(), "verify said success"

    def _happens(self, event: str, how: str = "") -> None:
        self.events[f"{event}: {how}" if how else event] += 1

    def _work(self) -> None:
        self.world.database.work()
        self.pending = True

    def _end_late(self) -> None:
        """End an open transaction, whose locks the following would wait for."""
        if self.world.database.is_open:
            self.world.database.end_open(commit=True)
            self.pending = True

    def _migrate(self) -> None:
        self.world.database.migrate()
        self.unrecorded = False
