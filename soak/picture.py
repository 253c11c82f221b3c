"""The timeline of a soak as a picture: faults, runs, lag, searches, memory, one below the other."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape

from soak.verdict import KINDS, MIB, Record, quantile

WIDTH, LEFT, RIGHT = 1400, 170, 20
BAND = 16
CHART = 110
GAP = 34
BIN_SECONDS = 10.0

_OUTCOMES = {"success": "#2e7d32", "failed": "#c62828", "running": "#9e9e9e", "queued": "#e0e0e0"}
_LINES = ("#1565c0", "#ef6c00", "#2e7d32", "#6a1b9a", "#c62828", "#00838f", "#5d4037", "#455a64", "#ad1457")


class Picture:
    """Draws from top to bottom.

    :param record: what is drawn
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._parts: list[str] = []
        self._y = 40.0

    def svg(self) -> str:
        """Draw everything."""
        record = self._record
        self._text(LEFT, 22, f"Soak of {record.minutes:g} minutes, seed {record.seed}", size=15)
        self._faults()
        self._runs()
        self._chart("lag, s", {"lag": list(record.lag)})
        self._chart("searches, ms", self._latencies())
        self._chart("memory, MiB", self._memory())
        self._axis()
        height = self._y + 30
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" '
            f'font-size="11"><rect width="100%" height="100%" fill="#fff"/>{"".join(self._parts)}</svg>\n'
        )

    def _x(self, moment: float) -> float:
        record = self._record
        share = (moment - record.begin) / max(record.end - record.begin, 1.0)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def _text(
        self, x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", colour: str = "#222"
    ) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">'
            f"{escape(text)}</text>"
        )

    def _bar(self, begin: float, end: float, colour: str, title: str) -> None:
        x = self._x(begin)
        width = max(self._x(end) - x, 1.5)
        self._parts.append(
            f'<rect x="{x:.1f}" y="{self._y:.1f}" width="{width:.1f}" height="{BAND - 4}" fill="{colour}">'
            f"<title>{escape(title)}</title></rect>"
        )

    def _label(self, text: str) -> None:
        self._text(LEFT - 8, self._y + BAND - 6, text, anchor="end")

    def _faults(self) -> None:
        for kind in sorted({window.kind for window in self._record.windows}, key=lambda one: one.value):
            self._label(kind.value)
            for window in self._record.windows:
                if window.kind is kind:
                    colour = "#ddd" if window.skipped else "#b71c1c"
                    self._bar(window.begin, window.end, colour, f"{kind.value} {window.end - window.begin:.1f} s")
            self._y += BAND
        self._y += GAP / 2

    def _runs(self) -> None:
        for kind in KINDS:
            self._label(f"{kind} runs")
            for run in self._record.runs:
                if run.kind == kind and run.begin:
                    colour = "#000" if run.missed else _OUTCOMES.get(run.state, "#9e9e9e")
                    self._bar(run.begin, run.end or self._record.end, colour, f"{run.run_id}: {run.state} {run.missed}")
            self._y += BAND
        self._y += GAP / 2

    def _latencies(self) -> Mapping[str, Sequence[tuple[float, float]]]:
        bins: dict[int, list[float]] = defaultdict(list)
        for one in self._record.searches:
            bins[int(one.begin // BIN_SECONDS)].append(one.seconds * 1000)
        return {
            name: [((number + 0.5) * BIN_SECONDS, quantile(bins[number], share)) for number in sorted(bins)]
            for name, share in (("median", 0.5), ("99 %", 0.99))
        }

    def _memory(self) -> Mapping[str, Sequence[tuple[float, float]]]:
        lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for sample in self._record.held:
            lines[sample.role].append((sample.at, sample.memory / MIB))
        return lines

    def _chart(self, name: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        top = max((value for points in lines.values() for _, value in points), default=1.0) or 1.0
        step = 10 ** math.floor(math.log10(top))
        top = math.ceil(top / step) * step
        bottom = self._y + CHART
        self._text(LEFT - 8, self._y + 10, f"{name}  {top:g}", anchor="end")
        self._text(LEFT - 8, bottom, "0", anchor="end")
        self._parts.append(
            f'<rect x="{LEFT}" y="{self._y:.1f}" width="{WIDTH - LEFT - RIGHT}" height="{CHART}" fill="#fafafa" '
            'stroke="#ddd"/>'
        )
        for number, (label, points) in enumerate(sorted(lines.items())):
            colour = _LINES[number % len(_LINES)]
            path = " ".join(f"{self._x(at):.1f},{bottom - value / top * CHART:.1f}" for at, value in sorted(points))
            self._parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
            self._text(LEFT + 6 + number * 110, bottom + 13, label, colour=colour)
        self._y = bottom + GAP

    def _axis(self) -> None:
        record = self._record
        minutes = (record.end - record.begin) / 60
        step = next(step for step in (1, 2, 5, 10, 30, 60) if minutes / step <= 20 or step == 60)
        for minute in range(0, math.ceil(minutes), step):
            self._text(self._x(record.begin + minute * 60), self._y, f"{minute} min", anchor="middle", colour="#666")
