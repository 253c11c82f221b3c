"""Which code patterns a target has. A row that its filter leaves out is for that target like one that is no code."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import orjson

from code_patterns.sql import query

_MARK = b"/* filter */"


@dataclass(frozen=True)
class RowFilter:
    """Values that rows must have; an empty list allows every value.

    :param languages: language of the code
    :param projects: ``project_id`` of the row's metadata
    :param paths: beginnings of the file's path
    """

    languages: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.languages or self.projects or self.paths)

    @property
    def text(self) -> str | None:
        """The filter in a form that two runs can compare; ``None`` if it leaves nothing out."""
        return (
            orjson.dumps({name: sorted(set(values)) for name, values in asdict(self).items()}).decode()
            if self
            else None
        )

    @property
    def parameters(self) -> Mapping[str, list[str] | None]:
        """The parameters of :meth:`applied`."""
        return {name: list(values) or None for name, values in asdict(self).items()} if self else {}

    def applied(self, statement: bytes) -> bytes:
        """Return a query that reads only these rows; without a filter the very same query.

        :param statement: a query of ``include/sql`` with marks where the condition belongs
        """
        return statement.replace(_MARK, query("sync_row_filter")) if self else statement

    def numbered(self, statement: bytes, first: int) -> tuple[bytes, list[list[str] | None]]:
        """Return :meth:`applied` and its parameters for a driver whose parameters have numbers.

        :param statement: a query with marks
        :param first: the number of the first of its parameters
        """
        applied = self.applied(statement)
        for number, name in enumerate(self.parameters, first):
            applied = applied.replace(b"%%(%b)s" % name.encode(), b"$%d" % number)
        return applied, list(self.parameters.values())

    def excludes(self, other: "RowFilter") -> bool:
        """Whether no row can pass both filters."""
        pairs = ((self.languages, other.languages), (self.projects, other.projects))
        if any(mine and theirs and not set(mine) & set(theirs) for mine, theirs in pairs):
            return True
        return bool(self.paths and other.paths) and not any(
            mine.startswith(theirs) or theirs.startswith(mine) for mine in self.paths for theirs in other.paths
        )


ALL_ROWS = RowFilter()
"""Leaves nothing out."""
