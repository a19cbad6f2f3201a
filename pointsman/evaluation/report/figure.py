"""The figures of a report as numbers in a box: what is drawn where. The template draws them, so that they follow the reader's colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pointsman.evaluation.cost import CostOfPass, frontier
from pointsman.evaluation.gate import Gate
from pointsman.evaluation.statistics import Interval

WIDTH, HEIGHT = 360, 220
"""Of the box of a curve or a scatter plot, in its own units."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 34


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a forest plot; places in per cent of its width."""

    name: str
    kind: str
    gate: Gate
    low: float
    at: float
    high: float


@dataclass(frozen=True, slots=True)
class Forest:
    """Paired differences with their intervals, one under the other on one scale."""

    rows: tuple[Row, ...]
    zero: float
    margin: float
    ticks: tuple[tuple[float, str], ...]


def forest(rows: Sequence[tuple[str, str, Gate]]) -> Forest:
    """A forest plot of gates: (name, `suite` or `node` or nothing, gate). The scale holds every interval, zero and the margin."""
    margin = -rows[0][2].margin
    bounds = [bound for _, _, one in rows for bound in (one.difference.low, one.difference.high)]
    low, high = min(margin, 0.0, *bounds), max(0.0, *bounds)
    room = max(high - low, 0.02)
    low, high = max(-1.0, low - 0.06 * room), min(1.0, high + 0.06 * room)

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    shown = tuple(
        Row(name, kind, one, place(one.difference.low), place(one.difference.estimate), place(one.difference.high))
        for name, kind, one in rows
    )
    ticks = tuple((place(tick), f"{100 * tick:+.0f}".replace("-", "−").replace("+0", "0")) for tick in _ticks(low, high))
    return Forest(shown, place(0.0), place(margin), ticks)


@dataclass(frozen=True, slots=True)
class Line:
    """One version's curve with its band."""

    name: str
    points: tuple[tuple[float, float], ...]
    band: str
    """The interval, as the points of an SVG polygon."""


@dataclass(frozen=True, slots=True)
class Curve:
    """pass^k over k."""

    lines: tuple[Line, ...]
    x: tuple[tuple[float, str], ...]
    y: tuple[tuple[float, str], ...]


def curve(versions: Sequence[tuple[str, Mapping[int, Interval]]]) -> Curve | None:
    """pass^k of each version; None where none has more than one trial a task."""
    shown = [(name, passes) for name, passes in versions if len(passes) > 1]
    if not shown:
        return None
    most = max(max(passes) for _, passes in shown)

    def x(k: int) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (k - 1) / (most - 1), 1)

    lines = []
    for name, passes in shown:
        upper = [(x(k), _y(one.high)) for k, one in passes.items()]
        lower = [(x(k), _y(one.low)) for k, one in passes.items()]
        band = " ".join(f"{a},{b}" for a, b in (*upper, *reversed(lower)))
        lines.append(Line(name, tuple((x(k), _y(one.estimate)) for k, one in passes.items()), band))
    return Curve(tuple(lines), tuple((x(k), str(k)) for k in range(1, most + 1)), _shares())


@dataclass(frozen=True, slots=True)
class Point:
    """One version in a scatter plot."""

    name: str
    x: float
    y: float
    low: float
    high: float
    best: bool
    """Whether no other version beats it in both."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """What a pass costs against how often there is one."""

    points: tuple[Point, ...]
    edge: str
    """The frontier, as the points of an SVG polyline."""
    x: tuple[tuple[float, str], ...]
    y: tuple[tuple[float, str], ...]


def scatter(versions: Mapping[str, tuple[CostOfPass, float]]) -> Scatter | None:
    """Cost of a pass (all money over all passes) against the mean score; None where no version ever passes."""
    finite = {name: pair for name, pair in versions.items() if math.isfinite(pair[0].ratio_of_means.estimate)}
    if not finite:
        return None
    bounds = [
        bound for cost, _ in finite.values() for bound in (cost.ratio_of_means.estimate, cost.ratio_of_means.high) if math.isfinite(bound)
    ]
    most = 1.1 * max(bounds) or 1.0

    def x(value: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * min(value, most) / most, 1)

    best = frontier({name: cost for name, (cost, _) in finite.items()}, {name: score for name, (_, score) in finite.items()})
    points = tuple(
        Point(name, x(cost.ratio_of_means.estimate), _y(score), x(cost.ratio_of_means.low), x(cost.ratio_of_means.high), name in best)
        for name, (cost, score) in finite.items()
    )
    at = {point.name: point for point in points}
    edge = " ".join(f"{at[name].x},{at[name].y}" for name in best)
    ticks = tuple((x(tick), f"${tick:.2f}" if most < 10 else f"${tick:.0f}") for tick in _ticks(0.0, most))
    return Scatter(points, edge, ticks, _shares())


def _y(share: float) -> float:
    return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - min(1.0, max(0.0, share))), 1)


def _shares() -> tuple[tuple[float, str], ...]:
    return tuple((_y(share), f"{100 * share:.0f} %") for share in (0.0, 0.25, 0.5, 0.75, 1.0))


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers between two others."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(width * power for width in (1, 2, 5, 10) if width * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]
