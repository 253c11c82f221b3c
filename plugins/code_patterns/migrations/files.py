"""The migrations of a folder: pairs of ``NNN_name.sql`` and ``NNN_rollback_name.sql``."""

import hashlib
import re
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.migrations.statements import first_words
from code_patterns.sql import MIGRATIONS

_FILE_NAME = re.compile(r"(?P<version>\d{3})_(?P<rollback>rollback_)?[a-z0-9_]+\.sql")
_IN_PARTS = re.compile(r"-- \d{3}[^\n:]*\(in parts\)")
_NOT_TRANSACTIONAL = re.compile(r"-- \d{3}[^\n:]*\(not transactional\)")
_PART = re.compile(r"^-- part(?: \((?P<kind>[a-z ]+)\))?: (?P<title>.*)$", re.MULTILINE)
_TRANSACTION_CONTROL = {"ABORT", "BEGIN", "COMMIT", "END", "PREPARE", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"}


class Kind(Enum):
    """How a part of a file is run; the values are the words for it in a file."""

    SHORT = "short"
    """In one transaction, which waits for a table only for a moment and then tries again."""
    LONG = "long"
    """One statement outside a transaction, which takes no lock that readers or writers wait for."""
    STATEMENTS = "each row a statement"
    """A query that changes nothing. Its rows are statements and findings: see :mod:`.findings`."""


@dataclass(frozen=True)
class Part:
    """A part of a file.

    :param title: what it is about; empty if it is the whole file
    :param kind: how it is run
    :param sql: its text
    """

    title: str
    kind: Kind
    sql: str = field(repr=False)


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
        """Whether it runs in one transaction; its first line says otherwise."""
        return not _NOT_TRANSACTIONAL.match(self.sql) and not self.in_parts

    @property
    def in_parts(self) -> bool:
        """Whether it has parts that are run one after the other; its first line says ``(in parts)``.

        Such a file does what is left to do. After an interruption it is run again from its first part.
        """
        return bool(_IN_PARTS.match(self.sql))

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The parts in their order; one if the file is not in parts.

        :raises ConfigurationError: a part has a kind that does not exist
        """
        if not self.in_parts:
            return (Part("", Kind.SHORT if self.transactional else Kind.LONG, self.sql),)
        marks = list(_PART.finditer(self.sql))
        ends = [mark.start() for mark in marks[1:]] + [len(self.sql)]
        return tuple(
            Part(mark["title"], self._kind(mark["kind"] or Kind.SHORT.value), self.sql[mark.end() : end])
            for mark, end in zip(marks, ends, strict=True)
        )

    def _kind(self, word: str) -> Kind:
        try:
            return Kind(word)
        except ValueError:
            raise ConfigurationError(
                Code.MIGRATION_FILES_WRONG,
                f"Migration file {self.name}.sql has a part of the unknown kind '{word}'. Use one of: "
                f"{', '.join(kind.value for kind in Kind)}.",
            ) from None


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
                Code.MIGRATION_FILES_WRONG,
                f"Migration file {path.name} is misnamed. Call it NNN_name.sql or NNN_rollback_name.sql, from 001.",
            )
        key = int(match["version"]), bool(match["rollback"])
        if key in scripts:
            raise ConfigurationError(
                Code.MIGRATION_FILES_WRONG,
                f"Migration files {scripts[key].name}.sql and {path.name} have the same number. Renumber one of them.",
            )
        scripts[key] = _read(path)
    if not scripts:
        raise ConfigurationError(
            Code.MIGRATION_FILES_WRONG,
            f"There are no migrations in {folder}. Deploy the bundle with its include folder.",
        )
    for version, rollback in scripts:
        if (version, not rollback) not in scripts:
            missing = "forward file" if rollback else "rollback file"
            raise ConfigurationError(
                Code.MIGRATION_FILES_WRONG, f"Migration {scripts[version, rollback].name} has no {missing}. Add it."
            )
    versions = sorted({version for version, _ in scripts})
    return tuple(Migration(version, scripts[version, False], scripts[version, True]) for version in versions)


def _read(path: Path) -> Script:
    script = Script(path.stem, path.read_text("utf-8"))
    for part in script.parts:
        words = first_words(part.sql)
        if own := _TRANSACTION_CONTROL.intersection(words):
            raise ConfigurationError(
                Code.MIGRATION_FILES_WRONG,
                f"Migration file {path.name} uses {min(own)}. It runs in the runner's transaction and must not end it.",
            )
        if part.kind is not Kind.SHORT and len(words) != 1:
            what = f"Part '{part.title}' of migration file {path.name}" if part.title else f"Migration file {path.name}"
            raise ConfigurationError(
                Code.MIGRATION_FILES_WRONG,
                f"{what} is not transactional and holds {len(words)} statements. Give each its own part or file: "
                "PostgreSQL would run several in one transaction.",
            )
    return script
