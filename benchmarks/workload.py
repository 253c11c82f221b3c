"""What one measurement works on; importable in every environment."""

import json
import os
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Workload:
    """Where a job reads and writes.

    :param dsn: libpq connection string of a database that holds the patterns
    :param embedding_url: root of the embedding server
    :param qdrant_url: root of the Qdrant server; empty when ``qdrant_path`` is given
    :param qdrant_path: directory of an embedded storage; empty for a server
    :param collection: name for everything that the job leaves behind
    :param count: patterns to work on, if the job does not take all
    """

    dsn: str
    embedding_url: str
    qdrant_url: str
    qdrant_path: str
    collection: str
    count: int

    def to_json(self) -> str:
        """Return it as an argument for a process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_arguments(cls) -> "Workload":
        """Read the workload from this process's arguments."""
        return cls(**json.loads(sys.argv[1]))


QDRANT_API_KEY = os.environ.get("PATTERNS_TEST_QDRANT_API_KEY")
MODEL = "benchmark"
DIMENSION = 768
BATCH = 100
AT_ONCE = 4
"""Batches the embedding server works on at the same time."""
