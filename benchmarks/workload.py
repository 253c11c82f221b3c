"""What one measurement works on; small enough to be imported in every environment."""

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
    :param collection: name of its own for everything the job leaves behind
    :param count: patterns to work on, where the job does not take all
    """

    dsn: str
    embedding_url: str
    qdrant_url: str
    qdrant_path: str
    collection: str
    count: int

    def to_json(self) -> str:
        """Return the form in which a process gets it as an argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_arguments(cls) -> "Workload":
        """Read the workload that this process was started with."""
        return cls(**json.loads(sys.argv[1]))


QDRANT_API_KEY = os.environ.get("PATTERNS_TEST_QDRANT_API_KEY")
MODEL = "benchmark"
DIMENSION = 768
BATCH = 100
AT_ONCE = 4
"""Batches the embedding server works on at the same time."""
