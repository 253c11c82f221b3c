"""Put a table between the marks of a page."""

import re
import sys
from pathlib import Path


def put(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marks; end the program if the page has none.

    :param page: the document
    :param begin: the mark before the place
    :param end: the mark behind it
    :param text: what comes between, without the line ends beside the marks
    """
    before = page.read_text("utf-8")
    pattern = re.compile(re.escape(begin) + r".*" + re.escape(end), re.DOTALL)
    if not pattern.search(before):
        sys.exit(f"{page.name} has no place for the table: {begin} ... {end}")
    page.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", before), "utf-8")
