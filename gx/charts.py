"""Charts as drawings of lines and bars: numbers in, shapes of an SVG and a table with the same figures out.

The drawing is stretched to the width of its place, so all text stands beside it as HTML and keeps its size; strokes
do not scale. Nothing of it needs a script or an inline style (docs/adr: charts are drawn on the server).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Final, Literal

from markupsafe import Markup, escape

from pipeline.wording import visible

#: The drawing's own units; points keep this distance from its upper and lower edge.
WIDTH, HEIGHT = 1000.0, 200.0
_MARGIN: Final = 6.0
#: Share of a day's place that its bar takes.
_BAR: Final = 0.72
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
class Bar:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    bad: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A series as shapes."""

    name: str
    kind: Kind
    #: Tells series of a chart apart: s1, s2, ….
    css: str
    #: Of an SVG path; empty for bars.
    path: str
    #: Single values without a neighbour, which no line shows, and bad ones, as zero-length strokes.
    dots: str
    bad_dots: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """The place of one label on the axis, to point at."""

    x: float
    width: float
    says: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A drawing and the same figures as a table."""

    id: str
    name: str
    says: str
    series: tuple[Drawn, ...]
    columns: tuple[Column, ...]
    #: From the top down.
    levels: tuple[str, ...]
    grid: str
    #: First, middle and last label.
    labels: tuple[str, ...]
    #: Label, and a value of each series as text; in the order of the axis.
    rows: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def pointed(self) -> Markup:
        """The columns as SVG; thousands of them on a page, so they do not go through the template one by one."""
        return Markup(  # noqa: S704  # every text is escaped here, the rest are numbers
            "\n".join(
                f'<rect class="column" x="{one.x:g}" y="0" width="{one.width:g}" height="200">'
                f"<title>{_text(one.says)}</title></rect>"
                for one in self.columns
            )
        )

    @property
    def table(self) -> Markup:
        """The rows of the table, for the same reason."""
        rows = (
            (_text(label), "".join(f'<td class="dg-number">{_text(value)}</td>' for value in values))
            for label, values in self.rows
        )
        return Markup("\n".join(f'<tr><th scope="row">{label}</th>{cells}</tr>' for label, cells in rows))  # noqa: S704  # as above

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(drawn.path or drawn.dots or drawn.bars for drawn in self.series)


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
    step = WIDTH / max(len(labels), 1)
    drawn = tuple(_drawn(one, scale, step, f"s{place}") for place, one in enumerate(series, start=1))
    rows = tuple(
        (label, tuple("–" if one.values[n] is None else shown(one.values[n] or 0.0) for one in series))
        for n, label in enumerate(labels)
    )
    columns = tuple(
        Column(x=round(n * step, 2), width=round(step, 2), says=_pointed(label, series, values))
        for n, (label, values) in enumerate(rows)
    )
    levels = (scale.high, (scale.high + scale.low) / 2, scale.low)
    return Chart(
        id=id,
        name=name,
        says=says,
        series=drawn,
        columns=columns,
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


def _drawn(series: Series, scale: Scale, step: float, css: str) -> Drawn:
    middle = [round((n + 0.5) * step, 2) for n in range(len(series.values))]
    points = [None if value is None else (x, scale.y(value)) for x, value in zip(middle, series.values, strict=True)]
    bars: tuple[Bar, ...] = ()
    path = dots = ""
    if series.kind == "bars":
        bars = tuple(
            Bar(
                x=round(x - step * _BAR / 2, 2),
                y=y,
                width=round(step * _BAR, 2),
                height=round(scale.y(scale.low) - y, 1),
                bad=n in series.bad,
            )
            for n, point in enumerate(points)
            if point is not None
            for x, y in [point]
        )
    else:
        path, dots = _path(points)
    marked = [point for n, point in enumerate(points) if n in series.bad and point is not None]
    return Drawn(
        name=series.name,
        kind=series.kind,
        css=css,
        path=path,
        dots=dots,
        bad_dots="" if series.kind == "bars" else _strokes(marked),
        bars=bars,
    )


def _text(value: str) -> Markup:
    return escape(visible(value))


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


def _pointed(label: str, series: Sequence[Series], values: Sequence[str]) -> str:
    if len(series) == 1:
        return f"{label}: {values[0]}"
    return f"{label}: " + ", ".join(f"{one.name} {value}" for one, value in zip(series, values, strict=True))


def _ends(labels: Sequence[str]) -> tuple[str, ...]:
    if len(labels) < 3:  # noqa: PLR2004  # first, middle and last
        return tuple(labels)
    return (labels[0], labels[len(labels) // 2], labels[-1])
