"""What the demo writes to the terminal: few lines, one width, numbers under numbers."""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

WIDTH = 88
_INDENT = "    "


class Screen:
    """Writes to standard output; on a terminal it also shows what the demo waits for."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._colours = self._terminal and not os.environ.get("NO_COLOR")
        self._waiting_for = ""
        self._since = 0.0

    def title(self, text: str, *lines: str) -> None:
        """Write a headline and what belongs to it."""
        self._write(f"\n{self._bold(text)}\n")
        for line in lines:
            self._write(f"{line}\n")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Write one line for a piece of work, with its seconds when it is done."""
        self._waiting_for, self._since = text, time.monotonic()
        self._write("\n")
        self.tick()
        try:
            yield
        except BaseException:
            self._erase()
            self._write(f"{self._bold(text)}\n")
            raise
        else:
            self._erase()
            seconds = f"{time.monotonic() - self._since:.1f} s"
            self._write(f"{self._bold(text)}{seconds:>{WIDTH - len(text)}}\n")
        finally:
            self._waiting_for = ""

    @contextmanager
    def brief(self, text: str) -> Iterator[None]:
        """Show a line on a terminal while something lasts."""
        if self._terminal:
            self._write(f"\n{text}")
        try:
            yield
        finally:
            self._erase()

    def tick(self) -> None:
        """Show that the demo is alive; do nothing if the output is no terminal."""
        if self._terminal and self._waiting_for:
            width = min(WIDTH, shutil.get_terminal_size().columns - 1)
            seconds = f"{time.monotonic() - self._since:.0f} s ..."
            self._write(f"\r{self._waiting_for}{seconds:>{max(width - len(self._waiting_for), 0)}}")

    def say(self, *lines: str) -> None:
        """Write lines below the step they belong to."""
        for line in lines:
            self._write(f"{_INDENT}{line}\n")

    def gap(self) -> None:
        """Write an empty line."""
        self._write("\n")

    def counts(self, values: Mapping[str, int]) -> None:
        """Write numbers below their names."""
        widths = [max(len(name), 7) for name in values]
        self.say(
            "  ".join(f"{name:>{width}}" for name, width in zip(values, widths, strict=True)),
            "  ".join(f"{value:>{width},}" for value, width in zip(values.values(), widths, strict=True)),
        )

    def rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Write a small table, columns aligned left."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._colours else text

    def _erase(self) -> None:
        if self._terminal:
            self._write("\r\x1b[K")

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
