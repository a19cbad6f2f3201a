"""The plain z-score that the triage is measured against: the pod with the largest deviation of any of its columns.

Mean and standard deviation are those of the quiet minutes. As it stands it takes every number column, the mean of the window, and abstains below
`PLAIN` standard deviations. `VARIANTS` are other ways to do the same, none of which abstains: which of them is best can only be told by the
labels, so the best of them is more than anybody could have had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import fsum, sqrt
from statistics import fmean
from typing import Final

from nodes.incident.statistics import known

PLAIN: Final = 3.0
"""Standard deviations below which the plain z-score names nobody."""

Values = Sequence[float | None]
Columns = Mapping[str, Mapping[str, Values]]
"""Pod to column to values."""

_CHOICES: Final[Mapping[str, Callable[[str], bool]]] = {
    "every column": bool,
    "without its node": lambda column: not column.startswith("Node"),
    "processor": lambda column: column == "CpuUsageRate(%)",
    "processor and latency": lambda column: "Latency" in column or column.startswith("Cpu"),
    "processor and serving": lambda column: "ServerLatency" in column or column.startswith("Cpu"),
}
_SUMS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {"mean": fmean, "largest": max}

VARIANTS: Final = tuple(product(_CHOICES, _SUMS))
"""Which columns are taken, and which value of a window."""


def deviations(columns: Columns, window: range, quiet: Sequence[int]) -> tuple[str, ...]:
    """Pods by deviation, the largest first; those below `PLAIN` are left out."""
    scores = _scores(columns, window, quiet, "every column", "mean")
    return tuple(pod for pod, score in scores.items() if score >= PLAIN)


def variants(columns: Columns, window: range, quiet: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """All pods by deviation, once for each of `VARIANTS`."""
    for choice, value in VARIANTS:
        yield tuple(_scores(columns, window, quiet, choice, value))


def _scores(columns: Columns, window: range, quiet: Sequence[int], choice: str, value: str) -> dict[str, float]:
    scores = {
        pod: max(_deviation(values, window, quiet, _SUMS[value]) for name, values in own.items() if _CHOICES[choice](name))
        for pod, own in columns.items()
    }
    return dict(sorted(scores.items(), key=lambda entry: -entry[1]))


def _deviation(values: Values, window: range, quiet: Sequence[int], value: Callable[[Sequence[float]], float]) -> float:
    usually = known(values[minute] for minute in quiet)
    middle = fmean(usually) if usually else 0.0
    spread = sqrt(fsum((one - middle) ** 2 for one in usually) / (len(usually) - 1)) if len(usually) > 1 else 0.0
    away = [abs(one - middle) for one in known(values[minute] for minute in window if minute < len(values))] if spread else []
    return value(away) / spread if away else 0.0
