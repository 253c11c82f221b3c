"""``results.json``, and the tables made from it in README and docs.

Each benchmark replaces its own part of the file. ``python -m benchmarks.results`` then puts the tables between the
marks in the documents.
"""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.table import Row, grid, markdown

RESULTS = Path(__file__).with_name("results.json")
DOCUMENTS = {
    "sync": "README.md",
    "triggers": "docs/sync.md",
    "verification": "docs/sync.md",
    "migrations": "docs/adopt.md",
    "quality": "docs/quality.md",
    "learning": "docs/pattern_learning.md",
    "stream": "docs/stream.md",
    "search": "docs/search.md",
    "sizes": "docs/scale.md",
    "restores": "docs/restore.md",
    "targets": "docs/targets.md",
    "collection": "docs/collection.md",
    "peers": "docs/peers.md",
}


def save(part: str, conditions: str, lines: Sequence[Row], **details: Any) -> None:
    """Keep one benchmark's rows, and print them as a table.

    :param part: which benchmark, a key of ``DOCUMENTS``
    :param conditions: what else was used, besides the machine
    :param lines: the measurements
    :param details: kept beside the rows; ``comparison`` is a second table, its header first
    """
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    results[part] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "conditions": f"{machine}; {conditions}",
        **details,
        "rows": [asdict(line) | {"holds": line.holds} for line in lines],
    }
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(_section(results[part]))


def publish() -> None:
    """Put every table into its document."""
    for part, results in json.loads(RESULTS.read_text("utf-8")).items():
        document = ROOT / DOCUMENTS[part]
        begin, end = f"<!-- bench {part}: begin -->\n", f"\n<!-- bench {part}: end -->"
        before, rest = document.read_text("utf-8").split(begin)
        _, after = rest.split(end)
        document.write_text(before + begin + _section(results) + end + after, "utf-8")


def _section(results: dict[str, Any]) -> str:
    rows = [Row(**{key: value for key, value in row.items() if key != "holds"}) for row in results["rows"]]
    text = f"{results['measured_at'][:10]}, {results['conditions']}"
    if rows:
        text += f"\n\n{markdown(rows)}"
    if comparison := results.get("comparison"):
        header, *lines = comparison
        text += f"\n\n{grid(header, lines)}"
    return text


if __name__ == "__main__":
    publish()
