"""``python -m benchmarks --size small``: measure everything, print the table, write ``results.json``."""

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.bed import Bed, JobError
from benchmarks.scenarios import SIZES, Measurements, first_syncs, growth
from benchmarks.table import markdown, rows

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="small takes about 10 minutes, large hours")
    size_name = parser.parse_args().size
    size = SIZES[size_name]
    seen = Measurements()
    try:
        with Bed.running() as bed:
            first_syncs(bed, size, seen)
            if bed.qdrant_url:
                growth(bed, size, seen)
            qdrant = bed.qdrant
    except JobError as error:
        sys.exit(f"The benchmark stopped: {error}")
    lines = list(rows(seen, size))
    machine = {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "qdrant": qdrant,
        "size": size_name,
        "patterns": size.patterns,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    results = {"machine": machine, "rows": [asdict(line) | {"holds": line.holds} for line in lines]}
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(
        f"{machine['cores']} cores, Python {machine['python']}, {qdrant}, {size.patterns:,} patterns; medians of "
        f"{size.rounds} rounds. Where two numbers stand behind a ratio, the first is the sync's.\n\n{markdown(lines)}"
    )


if __name__ == "__main__":
    main()
