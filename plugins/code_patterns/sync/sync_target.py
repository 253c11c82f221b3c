"""What makes the runs of one target differ from those of others."""

from dataclasses import dataclass

from code_patterns.sync.row_filter import ALL_ROWS, RowFilter


@dataclass(frozen=True)
class SyncTarget:
    """A target, as its runs see it.

    :param name: its name; ``None`` for the one without a name, which connections and Variables describe
    :param rows: which code patterns it has
    :param donors: aliases or collections in the same Qdrant that may hold the same vectors
    """

    name: str | None = None
    rows: RowFilter = ALL_ROWS
    donors: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The target in words, for messages."""
        return f"the target '{self.name}'" if self.name else "the target without a name"

    def named(self, name: str) -> str:
        """The name of one of its DAGs or assets.

        :param name: what it is called without a target
        """
        return f"{name}__{self.name}" if self.name else name


WITHOUT_NAME = SyncTarget()
"""The target that connections and Variables describe, with every row."""
