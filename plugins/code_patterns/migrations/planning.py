"""Which migrations to run, given what a database has seen."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.migrations.files import Migration, Script
from code_patterns.migrations.findings import Findings
from code_patterns.migrations.ledger import Entry

Direction = Literal["up", "down"]


@dataclass(frozen=True)
class Step:
    """One migration to run.

    :param migration: the migration
    :param direction: ``up`` applies it, ``down`` rolls it back
    :param repair: whether an earlier run died in the middle of it, so that its rollback runs first
    :param again: whether it was applied and something that it made is missing now
    """

    migration: Migration
    direction: Direction
    repair: bool = False
    again: bool = False

    @property
    def scripts(self) -> tuple[Script, ...]:
        """The files to run, in order."""
        if self.direction == "down":
            return (self.migration.rollback,)
        # Forward files keep what exists. Without a transaction that may be an invalid index. A file in parts sees to
        # that itself, and does what is left to do.
        forward = self.migration.forward
        clean_up = not forward.in_parts and (self.repair or (self.again and not forward.transactional))
        return (self.migration.rollback, self.migration.forward) if clean_up else (self.migration.forward,)


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    :param address: the database in words
    :param version: the newest version the database has now; 0 is none
    :param direction: ``up`` or ``down``
    :param steps: in the order in which they run
    :param notes: what a person should know: what is left as it is and why, what was decided by earlier runs
    :param obstacles: why the run would be refused before it changes anything, each with what to do
    """

    address: str
    version: int
    direction: Direction
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The plan, each migration on a line of its own: Airflow's log page does not wrap."""
        state = f"{self.address} is at version {self.version:03d}"
        if not self.steps:
            return f"{state}: nothing to do."
        to_do = "apply" if self.direction == "up" else "roll back"
        notes = {(True, False): " (repair)", (False, True): " (again)"}
        names = [f"  {step.migration.forward.name}{notes.get((step.repair, step.again), '')}" for step in self.steps]
        refused = ["It would be refused:", *(f"  {obstacle}" for obstacle in self.obstacles)] if self.obstacles else []
        return "\n".join([f"{state}.", f"{len(self.steps)} to {to_do}:", *names, *refused])

    @property
    def refusal(self) -> str:
        """Why the run is refused, for the error."""
        return f"{self.address} cannot be migrated as it is, and nothing was changed: {self._reasons}"

    @property
    def _reasons(self) -> str:
        if len(self.obstacles) == 1:
            return self.obstacles[0]
        return " ".join(f"({number}) {reason}" for number, reason in enumerate(self.obstacles, 1))

    def informed(self, findings: Findings, entries: Sequence[Entry]) -> "Plan":
        """Return the plan with what was found in the database.

        :param findings: what the files of the plan say about the database
        :param entries: the ledger, with the notes of earlier runs
        """
        earlier = (note for entry in entries for note in entry.notes)
        return replace(self, notes=tuple(dict.fromkeys((*findings.notes, *earlier))), obstacles=findings.obstacles)

    @property
    def sql(self) -> str:
        """Every file the plan would run, in full."""
        return "\n".join(
            f"-- {'=' * 20} {script.name}.sql {'=' * 20}\n{script.sql}"
            for step in self.steps
            for script in step.scripts
        )


def make_plan(
    address: str,
    migrations: Sequence[Migration],
    entries: Sequence[Entry],
    direction: Direction,
    target: int | None,
    damaged: Collection[int] = (),
) -> Plan:
    """Decide what to run.

    :param address: the database in words, for messages
    :param migrations: all migrations
    :param entries: the ledger of the database
    :param direction: ``up`` or ``down``
    :param target: version to end at; ``None`` means the newest; down needs it; 0 removes everything
    :param damaged: applied versions of which something is missing now
    :raises ConfigurationError: the target does not exist, an applied file was changed, or files and database diverge
    """
    known = {migration.version: migration for migration in migrations}
    seen = {entry.version: entry for entry in entries}
    current = max(seen, default=0)
    check_unchanged(address, migrations, entries)
    if direction == "down" and target is None:
        raise ConfigurationError(
            Code.SETTING_WRONG,
            "Rolling back needs an explicit target, the version to go down to. Set Param target; 0 takes back all.",
        )
    if target is not None and target not in known and not (direction == "down" and target == 0):
        choices = ", ".join(str(version) for version in ([0] if direction == "down" else []) + sorted(known))
        raise ConfigurationError(
            Code.SETTING_WRONG, f"There is no migration {target}. Set Param target to one of: {choices}."
        )
    if direction == "down":
        steps = tuple(
            Step(known[version], "down", seen[version].dirty)
            for version in sorted(seen, reverse=True)
            if target is not None and version > target
        )
        return Plan(address, current, direction, steps)

    skipped = [migration.forward.name for migration in migrations if migration.version < current]
    skipped = [name for name in skipped if name not in {entry.name for entry in entries}]
    if skipped:
        raise ConfigurationError(
            Code.MIGRATION_OUT_OF_ORDER,
            f"{address} is at version {current:03d} without {', '.join(skipped)}: migrations run in order only. Give "
            f"the new file a number above {current:03d}.",
        )
    steps = tuple(
        Step(
            migration,
            "up",
            repair=migration.version in seen and seen[migration.version].dirty,
            again=migration.version in damaged and not seen[migration.version].dirty,
        )
        for migration in migrations
        if (target is None or migration.version <= target)
        and (migration.version not in seen or seen[migration.version].dirty or migration.version in damaged)
    )
    return Plan(address, current, direction, steps)


def check_unchanged(address: str, migrations: Sequence[Migration], entries: Sequence[Entry]) -> None:
    """Make sure that every migration the database has seen is still here, unchanged.

    The file of an unfinished migration may be changed: the change may repair it.

    :raises ConfigurationError: naming all files that are missing or changed
    """
    known = {migration.version: migration for migration in migrations}
    if missing := [entry.name for entry in entries if entry.version not in known]:
        raise ConfigurationError(
            Code.MIGRATIONS_UNKNOWN,
            f"{address} has seen migrations that this checkout does not have: {', '.join(missing)}. Deploy the version "
            "of the bundle that brought them.",
        )
    changed = []
    for entry in entries:
        migration = known[entry.version]
        if not entry.dirty and entry.checksum != migration.forward.checksum:
            changed.append(migration.forward.name)
        if not entry.dirty and entry.rollback_checksum != migration.rollback.checksum:
            changed.append(migration.rollback.name)
    if changed:
        raise ConfigurationError(
            Code.MIGRATIONS_EDITED,
            f"Applied migrations were edited since they ran on {address}: {', '.join(changed)}. Restore the files as "
            "they were (table pattern_schema_migrations has their SHA-256) and put the change into a new migration.",
        )
