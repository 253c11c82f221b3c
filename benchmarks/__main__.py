"""``python -m benchmarks --size small``: measure everything, print the table, write ``results.json``."""

import argparse
import signal
import sys

from benchmarks.results import save
from benchmarks.scenarios import SIZES, Measurements, first_syncs, growth
from benchmarks.servers import JobError, Servers
from benchmarks.table import rows
from benchmarks.workload import AT_ONCE


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="small takes about 10 minutes, large about 40")
    size_name = parser.parse_args().size
    size = SIZES[size_name]
    seen = Measurements()
    # When it is ended from outside, it still stops the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The benchmark was ended."))
    try:
        with Servers.running() as servers:
            first_syncs(servers, size, seen)
            if servers.qdrant_url:
                growth(servers, size, seen)
            qdrant = servers.qdrant
    except JobError as error:
        sys.exit(f"The benchmark stopped: {error}")
    conditions = (
        f"{qdrant}; {size.patterns:,} patterns, medians of {size.rounds} rounds. Where two numbers stand behind a "
        f"ratio, the first is the sync's. The sync's connection says concurrency {AT_ONCE + 2}."
    )
    save("sync", conditions, list(rows(seen, size)), size=size_name)


if __name__ == "__main__":
    main()
