"""The statistics of the triage: how far a metric has moved from where it usually is, in units of how much it usually moves.

Location and scale are the median and the median absolute deviation (Hampel 1974), since up to half of the values they stand on may be from
incidents without moving them; 1.4826 makes the deviation the standard deviation of a normal distribution (Rousseeuw and Croux 1993).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

CONSISTENT: Final = 1.4826
"""Standard deviations in one median absolute deviation of normal values."""

FLOOR: Final = 0.05
"""The smallest scale, as a part of the usual value: a metric that never moves is not known better than that."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Usual:
    """Where a metric usually is, and how much it moves there."""

    level: float
    scale: float

    def shift(self, value: float) -> float:
        """How far a value is from the usual one, in scales; signed."""
        return (value - self.level) / self.scale


def known(values: Iterable[float | None]) -> list[float]:
    """The values that were measured."""
    return [value for value in values if value is not None]


def usual(quiet: Values, resolution: float) -> Usual | None:
    """The usual level and scale over quiet minutes; None where fewer than 10 of them were measured.

    `resolution` is the smallest difference that the metric can mean, in its own unit.
    """
    values = known(quiet)
    if len(values) < 10:
        return None
    level = median(values)
    spread = CONSISTENT * median(abs(value - level) for value in values)
    return Usual(level, max(spread, FLOOR * abs(level), resolution))


def moved(usually: Usual | None, window: Values) -> float:
    """How far the window's median is from the usual level, in scales; 0 where either is not known."""
    values = known(window)
    return usually.shift(median(values)) if usually and values else 0.0


def reached(usually: Usual | None, windows: Sequence[Values], side: int, often: float) -> float:
    """How far to one side (1 up, -1 down) at least a part `often` of some windows were, in scales; 0 where fewer than 10 are known."""
    far = sorted((side * moved(usually, window) for window in windows if known(window)), reverse=True)
    return max(far[int(often * len(far))], 0.0) if len(far) >= 10 else 0.0


def onset(usually: Usual | None, window: Values, threshold: float) -> int | None:
    """The change point: the first minute of a window from which most of the next three values are beyond the threshold; None where there is none."""
    if usually is None:
        return None
    beyond = [value is not None and abs(usually.shift(value)) >= threshold for value in window]
    for minute in range(len(beyond)):
        ahead = beyond[minute : minute + 3]
        if beyond[minute] and 2 * sum(ahead) > len(ahead):
            return minute
    return None
