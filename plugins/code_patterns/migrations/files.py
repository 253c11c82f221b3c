"""The migrations of a folder: pairs of ``NNN_name.sql`` and ``NNN_rollback_name.sql``."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from code_patterns.errors import ConfigurationError
from code_patterns.migrations.statements import first_words
from code_patterns.sql import MIGRATIONS

_FILE_NAME = re.compile(r"(?P<version>\d{3})_(?P<rollback>rollback_)?[a-z0-9_]+\.sql")
_NOT_TRANSACTIONAL = re.compile(r"-- \d{3}[^\n:]*\(not transactional(?P<generating>, each row a statement)?\)")
_TRANSACTION_CONTROL = {"ABORT", "BEGIN", "COMMIT", "END", "PREPARE", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"}


@dataclass(frozen=True)
class Script:
    """One file.

    :param name: file name without its ending
    :param sql: its text, with Unix line ends
    """

    name: str
    sql: str = field(repr=False)

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def transactional(self) -> bool:
        """Whether it runs in a transaction; a first line ``-- NNN (not transactional): ...`` says that it cannot."""
        return not _NOT_TRANSACTIONAL.match(self.sql)

    @property
    def generating(self) -> bool:
        """Whether it is a query whose rows are the statements to run; its first line says ``each row a statement``."""
        match = _NOT_TRANSACTIONAL.match(self.sql)
        return match is not None and match["generating"] is not None


@dataclass(frozen=True)
class Migration:
    """A step of the schema, forward and back.

    :param version: its number, greater than 0
    :param forward: the file that takes the step
    :param rollback: the file that takes it back
    """

    version: int
    forward: Script
    rollback: Script


def read_migrations(folder: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """Read and check all migrations of a folder.

    :return: in ascending order of their versions
    :raises ConfigurationError: a file is misnamed, has no counterpart, is a duplicate, or breaks a rule for its text
    """
    scripts: dict[tuple[int, bool], Script] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if not match or int(match["version"]) == 0:
            raise ConfigurationError(
                f"Migration file {path.name} is misnamed. Call it NNN_name.sql or NNN_rollback_name.sql, from 001."
            )
        key = int(match["version"]), bool(match["rollback"])
        if key in scripts:
            raise ConfigurationError(
                f"Migration files {scripts[key].name}.sql and {path.name} have the same number. Renumber one of them."
            )
        scripts[key] = _read(path)
    if not scripts:
        raise ConfigurationError(f"There are no migrations in {folder}. Deploy the bundle with its include folder.")
    for version, rollback in scripts:
        if (version, not rollback) not in scripts:
            missing = "forward file" if rollback else "rollback file"
            raise ConfigurationError(f"Migration {scripts[version, rollback].name} has no {missing}. Add it.")
    versions = sorted({version for version, _ in scripts})
    return tuple(Migration(version, scripts[version, False], scripts[version, True]) for version in versions)


def _read(path: Path) -> Script:
    script = Script(path.stem, path.read_text("utf-8"))
    words = first_words(script.sql)
    if own := _TRANSACTION_CONTROL.intersection(words):
        raise ConfigurationError(
            f"Migration file {path.name} uses {min(own)}. It runs in the runner's transaction and must not end it."
        )
    if not script.transactional and len(words) != 1:
        raise ConfigurationError(
            f"Migration file {path.name} is not transactional and holds {len(words)} statements. Give each its own "
            "file: PostgreSQL would run several in one transaction."
        )
    return script
