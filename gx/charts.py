"""Charts as drawings of lines and bars: numbers in, shapes of an SVG and a table with the same figures out.

The drawing is stretched to the width of its place, so all text stands beside it as HTML and keeps its size; strokes
do not scale. Nothing of it needs a script or an inline style (docs/adr: charts are drawn on the server).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import floor, log10
from operator import add
from typing import Final, Literal

from markupsafe import Markup, escape

from pipeline.wording import visible

#: The drawing's own units; points keep this distance from its upper and lower edge.
WIDTH, HEIGHT = 1000.0, 200.0
_MARGIN: Final = 6.0
#: Share of a day's place that its bar takes.
_BAR: Final = 0.72
#: So many places on the axis that half of one is not seen.
_MANY: Final = 12
_NICE: Final = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)

Kind = Literal["line", "limit", "bars"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One row of values, one for each place on the axis."""

    name: str
    #: None where there is no value; a line is interrupted there.
    values: Sequence[float | None]
    kind: Kind = "line"
    #: Places that need attention: drawn as large points, or as hatched bars.
    bad: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A series as shapes."""

    name: str
    kind: Kind
    #: Tells series of a chart apart: s1, s2, ….
    css: str
    #: Of an SVG path; empty for bars.
    path: str = ""
    #: Single values without a neighbour, which no line shows, and bad ones, as zero-length strokes.
    dots: str = ""
    bad_dots: str = ""
    #: All bars as one path, and those that need attention as another.
    bars: str = ""
    bad_bars: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A drawing and the same figures as a table."""

    id: str
    name: str
    says: str
    series: tuple[Drawn, ...]
    #: From the top down.
    levels: tuple[str, ...]
    grid: str
    #: First, middle and last label.
    labels: tuple[str, ...]
    #: Label, and a value of each series as text; in the order of the axis.
    rows: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def pointed(self) -> Markup:
        """The places of the labels as SVG, to point at; thousands on a page, so no template sees them one by one."""
        names = [f"{_text(one.name)} " for one in self.series] if len(self.series) > 1 else [""]
        columns = _places(len(self.rows))[1]
        return Markup(  # noqa: S704  # every text is escaped here, the rest are numbers
            "\n".join(
                f"{column}<title>{_text(label)}: {', '.join(map(add, names, map(_text, values)))}</title></rect>"
                for column, (label, values) in zip(columns, self.rows, strict=True)
            )
        )

    @property
    def table(self) -> Markup:
        """The rows of the table, for the same reason."""
        rows = (
            f'<tr><th scope="row">{_text(label)}</th><td class="dg-number">'
            + '</td><td class="dg-number">'.join(map(_text, values))
            for label, values in self.rows
        )
        return Markup("\n".join(f"{row}</td></tr>" for row in rows))  # noqa: S704  # as above

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(one.path or one.dots or one.bars or one.bad_bars for one in self.series)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """The values at the lower and the upper edge."""

    low: float
    high: float

    def y(self, value: float) -> float:
        """How far down a value stands."""
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT - _MARGIN - share * (HEIGHT - 2 * _MARGIN), 1)


def chart(
    name: str,
    *,
    id: str,  # noqa: A002  # of the element
    labels: Sequence[str],
    series: Sequence[Series],
    scale: Scale,
    shown: Callable[[float], str],
    says: str,
) -> Chart:
    """Draw series over the same axis.

    Args:
        name: heading of the chart.
        id: unique on its page.
        labels: one for each place on the axis.
        series: as many values each as there are labels.
        scale: all values lie within.
        shown: a value as text.
        says: the chart in a sentence, for who does not see it.
    """
    drawn = tuple(_drawn(one, scale, f"s{place}") for place, one in enumerate(series, start=1))
    rows = tuple(
        (label, tuple("–" if one.values[n] is None else shown(one.values[n] or 0.0) for one in series))
        for n, label in enumerate(labels)
    )
    levels = (scale.high, (scale.high + scale.low) / 2, scale.low)
    return Chart(
        id=id,
        name=name,
        says=says,
        series=drawn,
        levels=tuple(shown(level) for level in levels),
        grid="".join(f"M0 {scale.y(level):g}H{WIDTH:g}" for level in levels),
        labels=_ends(labels),
        rows=rows,
    )


def from_zero(values: Iterable[float | None]) -> Scale:
    """From 0 to a round number that none exceeds."""
    highest = max((value for value in values if value is not None), default=0.0)
    if highest <= 0:
        return Scale(low=0.0, high=1.0)
    unit = 10.0 ** floor(log10(highest))
    return Scale(low=0.0, high=next(unit * nice for nice in _NICE if unit * nice >= highest * 0.9999))


def to_hundred(values: Iterable[float | None]) -> Scale:
    """Up to 100 from a round number below all values: shares of good lines, in per cent."""
    lowest = min((value for value in values if value is not None), default=99.0)
    room = max(100.0 - lowest, 1.0)
    return Scale(low=next(100.0 - span for span in (1.5, 2, 5, 10, 20, 50, 100) if span >= room), high=100.0)


@lru_cache(maxsize=16)
def _places(count: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """The middle of each of so many places on the axis, and the start of a rectangle over it: alike for most charts."""
    step = WIDTH / max(count, 1)
    return (
        tuple(round((n + 0.5) * step, 2) for n in range(count)),
        tuple(
            f'<rect class="column" x="{round(n * step, 2):g}" y="0" width="{round(step, 2):g}" height="200">'
            for n in range(count)
        ),
    )


def _drawn(series: Series, scale: Scale, css: str) -> Drawn:
    points = [
        None if value is None else (x, scale.y(value))
        for x, value in zip(_places(len(series.values))[0], series.values, strict=True)
    ]
    bad = [point for n, point in enumerate(points) if n in series.bad and point is not None]
    if series.kind == "bars":
        good = [point for n, point in enumerate(points) if n not in series.bad and point is not None]
        width, foot = WIDTH / max(len(points), 1) * _BAR, scale.y(scale.low)
        bars, bad_bars = (_bars(some, width, foot) for some in (good, bad))
        return Drawn(name=series.name, kind="bars", css=css, bars=bars, bad_bars=bad_bars)
    path, dots = _path(points)
    return Drawn(name=series.name, kind=series.kind, css=css, path=path, dots=dots, bad_dots=_strokes(bad))


@lru_cache(maxsize=4096)
def _text(value: str) -> str:
    """Escaped; days and round shares come again and again."""
    return str(escape(visible(value)))


def _bars(points: Sequence[tuple[float, float]], width: float, foot: float) -> str:
    """A rectangle from each point down to the foot."""
    return "".join(f"M{x - width / 2:.2f} {y:g}h{width:.2f}V{foot:g}h-{width:.2f}z" for x, y in points)


def _path(points: Sequence[tuple[float, float] | None]) -> tuple[str, str]:
    """Lines through neighbouring points, and the points that have no neighbour."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            stretches.append([])
        else:
            stretches[-1].append(point)
    path = "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in stretch) for stretch in stretches if len(stretch) > 1)
    return path, _strokes([stretch[0] for stretch in stretches if len(stretch) == 1])


def _strokes(points: Sequence[tuple[float, float]]) -> str:
    """With round ends and a width that does not scale, strokes without length are round points."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in points)


def _ends(labels: Sequence[str]) -> tuple[str, ...]:
    if len(labels) < 3:  # noqa: PLR2004  # first, middle and last
        return tuple(labels)
    if len(labels) < _MANY and len(labels) % 2 == 0:
        return (labels[0], labels[-1])  # none of them stands in the middle
    return (labels[0], labels[len(labels) // 2], labels[-1])
