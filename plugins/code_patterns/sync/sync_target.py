"""What makes the runs of one target differ from those of others."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from code_patterns.errors import PatternsError
from code_patterns.sync.row_filter import ALL_ROWS, RowFilter

MIGRATION = "schema_migration"
"""The DAG that migrates the database of the target without a name."""
VARIABLE = "patterns_collection"
"""The Airflow Variable that names the collection of the target without a name."""

# What stands in quotes is a name that somebody gave, such as that of a collection.
_DAGS = re.compile(
    r"(?<![\w'./-])(?:pattern_(?:sync_(?:full|incremental|stream)|verify|maintenance|backup)|schema_migration)(?![\w'-])"
)


@dataclass(frozen=True)
class SyncTarget:
    """A target, as its runs see it.

    :param name: its name; ``None`` for the one without a name, which connections and Variables describe
    :param rows: which code patterns it has
    :param donors: aliases or collections in the same Qdrant that may hold the same vectors
    :param migration: the DAG that migrates its database
    """

    name: str | None = None
    rows: RowFilter = ALL_ROWS
    donors: tuple[str, ...] = ()
    migration: str = MIGRATION

    @property
    def title(self) -> str:
        """The target in words, for messages."""
        return f"the target '{self.name}'" if self.name else "the target without a name"

    @property
    def setting(self) -> str:
        """What names its collection, for messages."""
        return (
            f"the key 'collection' of {self.title} in the targets file" if self.name else f"the Variable '{VARIABLE}'"
        )

    def named(self, name: str) -> str:
        """The name of one of its DAGs or assets.

        :param name: what it is called without a target
        """
        return f"{name}__{self.name}" if self.name else name

    def told(self, text: str) -> str:
        """A text with the names of its own DAGs.

        :param text: one that names the DAGs of the target without a name
        """
        return _DAGS.sub(lambda dag: self.migration if dag[0] == MIGRATION else self.named(dag[0]), text)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Let the messages of errors name its own DAGs: what raises them may know nothing of targets."""
        try:
            yield
        except PatternsError as error:
            error.message = self.told(error.message)
            raise


WITHOUT_NAME = SyncTarget()
"""The target that connections and Variables describe, with every row."""
