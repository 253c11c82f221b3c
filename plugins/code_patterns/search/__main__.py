"""``python -m code_patterns.search "retry with backoff"``: find patterns from the shell.

Connections and the collection are those of Airflow, or of its environment variables (AIRFLOW_CONN_PATTERNS_POSTGRES and
so on). Ends with 0 if there are hits, with 1 if there are none, with 2 after wrong input or without a server.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout

from code_patterns.errors import PatternsError
from code_patterns.printable import printable
from code_patterns.search.hit import Hit, SearchAnswer
from code_patterns.search.once import search
from code_patterns.search.query import WrongQueryError

SHOWN_WORDS = 6
"""Matched words in a line of the table."""

_HEAD = ("score", "quality", "name", "language", "path", "matched")
_OPTIONS = {
    "target": "search the collection of this target of the targets file",
    "similar_to": "find patterns similar to this one, by its uuid or pattern_id",
    "mode": "auto, words, meaning, hybrid or similar",
    "language": "only this language",
    "pattern_type": "only this type",
    "project": "only this project_id",
    "path_prefix": "only files whose path begins so",
    "min_quality": "least quality score, 0 to 1",
    "min_confidence": "least confidence, 0 to 1",
    "created_since": "not older than this day or time",
    "limit": "most hits, 1 to 100",
    "offset": "hits to leave out first",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    :param arguments: those of the command line
    :return: the exit status
    """
    parser = argparse.ArgumentParser(prog="python -m code_patterns.search", description=__doc__)
    parser.add_argument("text", nargs="?", default="", help="words, an identifier, a question or code; - reads it")
    for field, meaning in _OPTIONS.items():
        parser.add_argument(f"--{field.replace('_', '-')}", metavar="VALUE", help=meaning)
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")
    chosen = vars(parser.parse_args(arguments))
    text, as_json = chosen.pop("text"), chosen.pop("json")
    # The client warns of an API key over HTTP, with a line of its source; the log of each sync shows that too.
    warnings.simplefilter("ignore", UserWarning)
    fields = {name: value for name, value in chosen.items() if value is not None}
    try:
        # Airflow logs to standard output when it is imported, where only the answer belongs.
        with redirect_stdout(sys.stderr):
            answer = search(_typed() if text == "-" else text, **fields)
    except PatternsError as error:
        print(f"{error}", file=sys.stderr)
        return 2
    # Whoever wrote a pattern must not control the terminal of who finds it.
    print(printable(json.dumps(answer.as_dict(), indent=2, ensure_ascii=False) if as_json else as_table(answer)))
    return 0 if answer.hits else 1


def _typed() -> str:
    """Read the text from standard input, whose encoding is UTF-8 whatever the locale says."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise WrongQueryError(
            "The text on standard input is not UTF-8. Convert it, such as with iconv.", "text"
        ) from None


def as_table(answer: SearchAnswer) -> str:
    """Return an answer for people: one line for each hit."""
    found = f"{len(answer.hits)} hits by {answer.mode} in {answer.seconds * 1000:.0f} ms"
    if not answer.hits:
        return found
    rows = [_HEAD, *map(_row, answer.hits)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"{found}{'; there are more' if answer.more else ''}"])


def _row(hit: Hit) -> tuple[str, ...]:
    quality = "-" if hit.quality_score is None else f"{hit.quality_score:.2f} {hit.quality_tier}"
    cells = (hit.pattern_name, hit.language, hit.file_path, " ".join(hit.matched_words[:SHOWN_WORDS]))
    return (f"{hit.score:.3f}", quality, *(" ".join((cell or "-").split()) for cell in cells))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
