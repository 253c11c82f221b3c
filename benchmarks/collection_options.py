"""What it gains to defer the index of a collection during its first load.

``PYTHONPATH=plugins python -m benchmarks.collection_options`` syncs the same patterns into new collections, with the
index built meanwhile and with the index deferred in several ways, until Qdrant has built it. It needs a Qdrant server.
It prints a Markdown table and keeps it in ``results.json``.
"""

import argparse
import statistics
import sys
from collections import defaultdict

from benchmarks.results import save
from benchmarks.servers import Servers, measure
from benchmarks.table import NEEDS_SERVER, Row

WAYS = {
    "meanwhile": "the index built meanwhile",
    "sync": "deferred as the sync does",
    "never": "no index until its end",
    "pieces": "the whole index of pieces of 50,000 built meanwhile",
}
"""Of :func:`benchmarks.jobs.first_load`."""


def main() -> None:
    """Measure, print the table, write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collection_options", description=__doc__)
    parser.add_argument("--patterns", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3, help="each takes some minutes")
    chosen = parser.parse_args()
    with Servers.running() as servers:
        if not servers.qdrant_url:
            sys.exit(f"This benchmark {NEEDS_SERVER}.")
        seen = _seen(servers, chosen.patterns, str(chosen.dimension), chosen.rounds)
        conditions = (
            f"{servers.qdrant}; {chosen.patterns:,} patterns, {chosen.dimension} dimensions of the hashing embedder, "
            f"medians of {chosen.rounds} rounds"
        )
        save("collection", conditions, _rows(seen))


def _seen(servers: Servers, patterns: int, dimension: str, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Seconds of each way in each round."""
    seen = defaultdict(list)
    with servers.database(patterns) as workload:
        for _ in range(rounds):
            for way in WAYS:
                with servers.collection(workload) as own:
                    details = measure(own, "first-load", way, dimension).details
                seen[way].append({name: details[name] for name in ("synced", "indexed")})
                print(f"  {way}: {seen[way][-1]}", file=sys.stderr, flush=True)
    return seen


def _rows(seen: dict[str, list[dict[str, float]]]) -> list[Row]:
    rows = []
    for way, described in WAYS.items():
        for name, until in (("synced", "until it is proven"), ("indexed", "until it is indexed")):
            median = statistics.median(round_[name] for round_ in seen[way])
            pairs = zip(seen[way], seen["meanwhile"], strict=True)
            ratio = statistics.median(one[name] / other[name] for one, other in pairs)
            note = "" if way == "meanwhile" else f"{ratio:.2f} times as long as with the index built meanwhile"
            rows.append(Row(f"first sync {until}: {described}", median, "s", "", note))
    return rows


if __name__ == "__main__":
    main()
