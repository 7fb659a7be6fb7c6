"""Charts of the results as standalone SVG files: bars, distributions, and growth curves."""

import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from tests.load import growth, loa
from tests.load.results import METRICS, Record

WIDTH = 860
NAMES = 150
MARGIN = 24
BAR = 20
GAP = 8
HEAD = 44
PLOT = 220
STEPS = 4
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"

INK, FAINT, GRID, PAPER = "#1f2430", "#667085", "#e4e7ec", "#ffffff"
OURS, ALSO_OURS, OTHERS = "#e4572e", "#f2a48d", "#8da2bd"
LINES = ("#e4572e", "#2e6fe4", "#2a9d62", "#8a4fd0", "#c98a00", "#0f8b9d", "#b3386d", "#667085", "#3d4657")


def draw(records: Sequence[Record], directory: Path) -> list[Path]:
    """Draw one or two charts for each workload in `records`. Returns their paths."""
    made = []
    for workload in dict.fromkeys(record.workload for record in records):
        rows = [record for record in records if record.workload == workload]
        if workload == growth.WORKLOAD:
            made.append(_write(directory / f"{workload}.svg", _panels(rows, _growth)))
            continue
        made.append(_write(directory / f"{workload}.svg", _panels(rows, _bars)))
        if any(record.latency.counts for record in rows):
            made.append(_write(directory / f"{workload}-latency.svg", _panels(rows, _distribution)))
    return [path for path in made if path]


class Panel:
    """The shapes of one chart panel and its height."""

    def __init__(self, title: str) -> None:
        self.shapes: list[str] = []
        self.height = HEAD
        self.text(0, 22, title, size=15, weight=600)

    def text(
        self, x: float, y: float, text: str, *, size: int = 12, ink: str = INK, anchor: str = "start", weight: int = 400
    ) -> None:
        self.shapes.append(
            f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' font-weight='{weight}' fill='{ink}' "
            f"text-anchor='{anchor}'>{escape(text)}</text>"
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, ink: str = GRID, width: float = 1) -> None:
        self.shapes.append(
            f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{ink}' stroke-width='{width}'/>"
        )

    def box(self, x: float, y: float, width: float, height: float, ink: str) -> None:
        self.shapes.append(
            f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width, 1):.1f}' height='{height}' rx='3' fill='{ink}'/>"
        )

    def curve(self, points: Sequence[tuple[float, float]], ink: str) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.shapes.append(
            f"<polyline points='{path}' fill='none' stroke='{ink}' stroke-width='2' stroke-linejoin='round'/>"
        )

    def dot(self, x: float, y: float, ink: str) -> None:
        self.shapes.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{ink}'/>")


def _bars(title: str, records: list[Record]) -> Panel | None:
    """The main metric of a case, best value first, with the range of the rounds."""
    name = next((name for name in METRICS if any(name in record.metrics for record in records)), "")
    rows = [record for record in records if name in record.metrics]
    if not rows:
        return None
    rows.sort(key=lambda record: record.metrics[name].median, reverse=not METRICS[name].less)
    panel = Panel(f"{title}: {heading(name)}")
    highest = max(record.metrics[name].high for record in rows) or 1
    room = WIDTH - 2 * MARGIN - NAMES - 90
    for record in rows:
        summary, y = record.metrics[name], panel.height
        ink = OURS if record.target == loa.NAME else ALSO_OURS if record.target.startswith(loa.NAME) else OTHERS
        middle = y + BAR / 2
        ours = record.target.startswith(loa.NAME)
        panel.text(NAMES - 10, middle + 4, record.target, anchor="end", weight=600 if ours else 400)
        panel.box(NAMES, y, summary.median / highest * room, BAR, ink)
        low, high = (NAMES + value / highest * room for value in (summary.low, summary.high))
        if high - low > 1:
            panel.line(low, middle, high, middle, INK)
            for end in (low, high):
                panel.line(end, middle - 4, end, middle + 4, INK)
        panel.text(high + 8, middle + 4, f"{summary.median:,.{METRICS[name].digits}f}", ink=FAINT)
        panel.height += BAR + GAP
    return panel


def heading(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.heading} (less is better)" if metric.less else metric.heading


def _distribution(title: str, records: list[Record]) -> Panel | None:
    """The share of messages that arrived within a time, on a logarithmic time scale."""
    rows = [record for record in records if record.latency.counts]
    if not rows:
        return None
    panel = Panel(f"{title}: share within so many milliseconds")
    left, right, top = 50, WIDTH - 2 * MARGIN - 170, panel.height
    ends = [(record.latency.quantile(0.001), record.latency.quantile(0.9999)) for record in rows]
    low = math.floor(math.log10(min(end[0] for end in ends)))
    high = math.ceil(math.log10(max(end[1] for end in ends)))

    def place(milliseconds: float, share: float) -> tuple[float, float]:
        across = (math.log10(milliseconds) - low) / max(high - low, 1)
        return left + min(max(across, 0), 1) * (right - left), top + PLOT * (1 - share)

    for share in (0, 0.25, 0.5, 0.75, 1):
        _, y = place(10.0**low, share)
        panel.line(left, y, right, y)
        panel.text(left - 8, y + 4, f"{share:.0%}", ink=FAINT, anchor="end")
    for power in range(low, high + 1):
        x, _ = place(10.0**power, 0)
        panel.line(x, top, x, top + PLOT)
        panel.text(x, top + PLOT + 18, f"{10.0**power:g}", ink=FAINT, anchor="middle")
    for number, record in enumerate(rows):
        ink, seen, points = LINES[number % len(LINES)], 0, []
        for milliseconds, count in record.latency.points():
            seen += count
            points.append(place(milliseconds, seen / record.latency.total))
        panel.curve([(points[0][0], top + PLOT), *points], ink)
        y = top + 10 + number * 20
        panel.line(right + 16, y - 4, right + 36, y - 4, ink, 3)
        panel.text(right + 42, y, record.target)
    panel.height += PLOT + 34
    return panel


def _growth(title: str, records: list[Record]) -> Panel | None:
    """A metric over the growing size. The axis begins at 0, so that a constant value looks level."""
    rows = sorted((record for record in records if record.size and record.metrics), key=lambda record: record.size)
    name = next((name for name in ("foreign_us", "cpu_us", "ms") if rows and name in rows[0].metrics), "")
    if not name:
        return None
    panel = Panel(f"{title}: {METRICS[name].heading}")
    left, right, top, plot = 70, WIDTH - 2 * MARGIN - 20, panel.height, PLOT * 0.6
    step = _round_step(max(record.metrics[name].high for record in rows))
    highest = step * STEPS
    first, last = math.log10(rows[0].size), math.log10(rows[-1].size)

    def place(size: int, value: float) -> tuple[float, float]:
        across = (math.log10(size) - first) / ((last - first) or 1)
        return left + across * (right - left), top + plot * (1 - value / highest)

    for number in range(STEPS + 1):
        _, y = place(rows[0].size, step * number)
        panel.line(left, y, right, y)
        panel.text(left - 8, y + 4, f"{step * number:g}", ink=FAINT, anchor="end")
    for record in rows:
        summary = record.metrics[name]
        x, y = place(record.size, summary.median)
        panel.line(x, place(record.size, summary.low)[1], x, place(record.size, summary.high)[1], OURS)
        panel.dot(x, y, OURS)
        panel.text(x, top + plot + 18, f"{record.size:,}", ink=FAINT, anchor="middle")
    panel.curve([place(record.size, record.metrics[name].median) for record in rows], OURS)
    panel.height += int(plot) + 34
    return panel


def _round_step(highest: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5, 10 … with which STEPS steps reach `highest`."""
    power = 10.0 ** math.floor(math.log10(highest / STEPS or 1))
    return next(power * times for times in (1, 2, 2.5, 5, 10) if power * times * STEPS >= highest)


def _panels(records: list[Record], shape: Callable[[str, list[Record]], Panel | None]) -> str:
    """Return the SVG with one panel for each case."""
    panels, top = [], MARGIN / 2
    for case in dict.fromkeys(record.case for record in records):
        panel = shape(case, [record for record in records if record.case == case])
        if panel:
            panels.append(f"<g transform='translate({MARGIN} {top:.0f})'>{''.join(panel.shapes)}</g>")
            top += panel.height + MARGIN / 2
    if not panels:
        return ""
    size = f"width='{WIDTH}' height='{top:.0f}' viewBox='0 0 {WIDTH} {top:.0f}'"
    paper = f"<rect width='{WIDTH}' height='{top:.0f}' rx='8' fill='{PAPER}'/>"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {FONT}>{paper}{''.join(panels)}</svg>\n"


def _write(path: Path, text: str) -> Path | None:
    if not text:
        return None
    path.write_text(text)
    return path
