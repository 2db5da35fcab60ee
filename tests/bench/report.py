"""The gateway's figures as tables and plots: on the screen, and in docs/benchmarks.md between two marks. Pure but for
``write`` and ``conditions``.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.activation import Times

DIRECT, RELAY, AIOHTTP, OURS = "direct", "uvloop relay", "plain aiohttp", "rayfleet"
LOGGING = "rayfleet with its access log"
ENVOY, VLLM_ROUTER = "Envoy", "vllm-router"
CHUNK, ONE = "per chunk", "one connection"
_PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- gateway: begin -->\n", "<!-- gateway: end -->\n"
_BAR, _LEFT, _WIDE = 26, 200, 770


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What one proxy did under one load; CPU is its own, per request or chunk. ``p50_us`` is of whole requests."""

    cpu_us: float
    per_second: float
    p50_us: float


@dataclass(slots=True)
class Figures:
    """Everything of one run. ``memory``: requests, MiB before, MiB after. ``absent``: why a peer is not measured."""

    cells: dict[tuple[str, str], Figure] = field(default_factory=dict)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    memory: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    activation: Times | None = None

    def add(self, row: str, title: str, figure: Figure) -> None:
        """Keep a figure."""
        self.cells[row, title] = figure

    def column(self, title: str) -> Iterator[tuple[str, str]]:
        """Yield each row's figure for one load, for the screen."""
        for (row, of), figure in self.cells.items():
            if of == title:
                yield row, f"{figure.p50_us:.0f} us p50" if title == ONE else f"{figure.cpu_us:.1f}"

    @property
    def rows(self) -> Sequence[str]:
        """Return who was measured, in the order of the run."""
        return tuple(dict.fromkeys(row for row, _ in self.cells))

    @property
    def titles(self) -> Sequence[str]:
        """Return the loads, in the order of the run."""
        return tuple(dict.fromkeys(title for _, title in self.cells))

    def cpu(self, row: str, title: str) -> float | None:
        """Return a CPU figure, None when there is none."""
        figure = self.cells.get((row, title))
        return None if figure is None else figure.cpu_us


@dataclass(frozen=True, slots=True)
class Goal:
    """``limit`` is the most (or with ``is_floor`` the least) that ``value`` may be."""

    text: str
    value: float | None
    limit: float
    is_floor: bool = False


def conditions(turns: int, seconds: float) -> str:
    """Return one line on how the run was made."""
    python, cores, load = sys.version.split()[0], os.cpu_count(), os.getloadavg()[0]
    return f"Python {python}, {cores} cores, load average {load:.1f}, best of {turns} turns of {seconds:g} s."


def rendered(figures: Figures, how: str) -> str:
    """Return the tables in Markdown."""
    parts = [how, _costs(figures), _ratios(figures), _speeds(figures), _memories(figures)]
    parts += ["" if figures.activation is None else figures.activation.rendered(), _goals(figures)]
    parts += [f"{name} is not measured: {reason}" for name, reason in figures.absent.items()]
    parts += [f"{row}, {title}: {fault}" for (row, title), fault in figures.faults.items()]
    return "\n\n".join(part for part in parts if part)


def write(figures: Figures, text: str, page: Path = _PAGE) -> None:
    """Put the tables into a page between the marks, and the plots beside it."""
    folder = page.with_suffix("")
    folder.mkdir(exist_ok=True)
    images = []
    for title, name in (("330 B", "requests"), (CHUNK, "chunks")):
        bars = [(row, value) for row in figures.rows if (value := figures.cpu(row, title)) is not None]
        (folder / f"{name}.svg").write_text(plot(f"CPU-us of the proxy, {title}", bars), encoding="utf-8")
        images.append(f"![CPU-us of the proxy, {title}](benchmarks/{name}.svg)")
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n{text}\n\n{' '.join(images)}\n\n{_END}{after}", encoding="utf-8")


def plot(title: str, bars: Sequence[tuple[str, float]]) -> str:
    """Return a picture (SVG) of bars from the left. One beyond three times ours is cut, with its number beside it."""
    ours = next((value for name, value in bars if name == OURS), 1.0)
    most = min(max(value for _, value in bars), 3 * ours)
    lines = [f'<text x="8" y="18" font-weight="bold">{title}</text>']
    for number, (name, value) in enumerate(bars):
        y, width = 30 + _BAR * number, (_WIDE - _LEFT - 90) * min(value, most) / most
        colour = "#d9480f" if name == OURS else "#adb5bd"
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{name}</text>')
        lines.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.0f}" height="20" fill="{colour}"/>')
        more = " (cut)" if value > most else ""
        lines.append(f'<text x="{_LEFT + width + 6:.0f}" y="{y + 15}">{value:.1f}{more}</text>')
    size = f'width="{_WIDE}" height="{36 + _BAR * len(bars)}"'
    style = 'font-family="sans-serif" font-size="13"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(lines) + "\n</svg>\n"


def goals(figures: Figures) -> Sequence[Goal]:
    """Return what the gateway is meant to reach, with what it did."""
    request = figures.cpu(OURS, "330 B")
    return (
        Goal("CPU per 330 B request / plain aiohttp", _quotient(request, figures.cpu(AIOHTTP, "330 B")), 0.65),
        Goal("CPU per 330 B request / vllm-router", _quotient(request, figures.cpu(VLLM_ROUTER, "330 B")), 1.5),
        Goal("CPU per chunk / Envoy", _quotient(figures.cpu(OURS, CHUNK), figures.cpu(ENVOY, CHUNK)), 1.1),
        Goal("ms of p50 added at one connection", _added_ms(figures), 0.25),
        Goal("ms p99 of a change beside 1,000 models", _slowest_change(figures), 20),
        Goal(
            "requests/s / plain aiohttp", _quotient(_rate(figures, OURS), _rate(figures, AIOHTTP)), 1.75, is_floor=True
        ),
    )


def _costs(figures: Figures) -> str:
    titles = [title for title in figures.titles if title != ONE]
    head = _header("CPU-us of the proxy per request", *titles)
    return "\n".join(
        (*head, *(_row(_named(figures, row), *(_cpu(figures, row, t) for t in titles)) for row in figures.rows))
    )


def _ratios(figures: Figures) -> str:
    bases = [row for row in (AIOHTTP, ENVOY, VLLM_ROUTER) if row in figures.rows]
    titles = [title for title in figures.titles if title != ONE]
    lines = list(_header("rayfleet's CPU as a part of", *titles))
    for base in bases:
        quotients = (_quotient(figures.cpu(OURS, title), figures.cpu(base, title)) for title in titles)
        lines.append(_row(base, *("-" if value is None else f"{value:.2f}" for value in quotients)))
    return "\n".join(lines)


def _speeds(figures: Figures) -> str:
    lines = list(_header("", "requests/s, 330 B", "p50 us at one connection"))
    for row in figures.rows:
        rate, one = _rate(figures, row), figures.cells.get((row, ONE))
        lines.append(_row(row, "-" if rate is None else f"{rate:.0f}", "-" if one is None else f"{one.p50_us:.0f}"))
    return "\n".join(lines)


def _memories(figures: Figures) -> str:
    if not figures.memory:
        return ""
    lines = list(_header("memory", "requests", "MiB before", "MiB after"))
    lines += [_row(row, f"{n:,}", f"{old:.0f}", f"{new:.0f}") for row, (n, old, new) in figures.memory.items()]
    return "\n".join(lines)


def _goals(figures: Figures) -> str:
    lines = list(_header("goal", "limit", "figure", ""))
    for goal in goals(figures):
        if goal.value is None:
            lines.append(_row(goal.text, f"{goal.limit:g}", "-", "not measured"))
            continue
        is_held = goal.value >= goal.limit if goal.is_floor else goal.value <= goal.limit
        bound = f"{'at least' if goal.is_floor else 'at most'} {goal.limit:g}"
        lines.append(_row(goal.text, bound, f"{goal.value:.2f}", "held" if is_held else "missed"))
    return "\n".join(lines)


def _named(figures: Figures, row: str) -> str:
    return f"{row} {figures.versions[row]}" if row in figures.versions else row


def _cpu(figures: Figures, row: str, title: str) -> str:
    value = figures.cpu(row, title)
    return "-" if value is None else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _rate(figures: Figures, row: str) -> float | None:
    figure = figures.cells.get((row, "330 B"))
    return None if figure is None else figure.per_second


def _added_ms(figures: Figures) -> float | None:
    ours, direct = figures.cells.get((OURS, ONE)), figures.cells.get((DIRECT, ONE))
    return None if ours is None or direct is None else (ours.p50_us - direct.p50_us) / 1000


def _slowest_change(figures: Figures) -> float | None:
    return None if figures.activation is None else figures.activation.worst_p99(1000)


def _quotient(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base


def _header(*cells: str) -> tuple[str, str]:
    return _row(*cells), "|" + " --- |" * len(cells)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
