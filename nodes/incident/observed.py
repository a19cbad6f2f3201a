"""Telemetry as the triage looks at it: a window beside its quiet minutes, and how far each metric has moved between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from nodes.incident.statistics import Usual, Values, moved, onset, reached, usual
from tools.cluster import Metric, Telemetry, Topology

THRESHOLD: Final = 5.0
"""Scales from which a shift counts. Of normal values one in 1.7 million lies beyond; real metrics have heavier tails."""

BEFORE: Final = range(3, 11)
"""How many minutes back the minutes before a window lie; the last two are left out, since an alert comes later than what it is about."""

OFTEN: Final = 0.1
"""The part of the quiet windows from which on what they reach is usual for a metric: some are restless, and a burst is no news of them."""

RESOLUTION: Final[Mapping[str, float]] = {
    "cpu": 1.0,
    "memory": 1.0,
    "latency": 0.005,
    "workload": 0.5,
    "errors": 1.0,
    "reads": 20.0,
    "writes": 20.0,
    "transit": 0.005,
}
"""The smallest difference that a metric can mean, in its own unit: a percent, five milliseconds, half a request a second, twenty system calls a minute."""


class Observed:
    """A window of telemetry beside its quiet minutes, and what a cluster is made of.

    `window` and `quiet` are minutes of the telemetry, from 0. A shift is measured from the quiet minutes, from `BEFORE`, the minutes right
    before the window, and from what one quiet window in ten reaches (`OFTEN`), all in scales of the quiet minutes; the smallest one counts:
    what was so all along, or is so every now and then, is no news.
    """

    def __init__(self, telemetry: Telemetry, topology: Topology, window: range, quiet: Sequence[int], threshold: float = THRESHOLD) -> None:
        self.topology = topology
        self.threshold = threshold
        self._window, self._quiet = window, quiet
        before = [minute for minute in (window.start - back for back in BEFORE) if minute >= 0]
        self._before = before or list(range(window.start))
        minutes = set(quiet)
        self._spans = [span for first in quiet if minutes.issuperset(span := range(first, first + len(window)))]
        self._series: dict[str, dict[str, Values]] = {"transit": {**telemetry.of("caller_latency")}}
        for series in telemetry.series:
            self._series.setdefault(series.metric, {})[series.subject] = series.values
        self._usual: dict[tuple[str, str], Usual | None] = {}
        self._shifts: dict[tuple[str, str], float] = {}

    def subjects(self, metric: str) -> list[str]:
        """Whatever has the metric: pods, or edges."""
        return sorted(self._series.get(metric, ()))

    def usually(self, subject: str, metric: str) -> Usual | None:
        """Where the metric is in the quiet minutes."""
        if (subject, metric) not in self._usual:
            self._usual[subject, metric] = usual(self.at(subject, metric, self._quiet), RESOLUTION[metric])
        return self._usual[subject, metric]

    def shift(self, subject: str, metric: str) -> float:
        """How far the metric has moved, in scales; signed."""
        if (subject, metric) not in self._shifts:
            self._shifts[subject, metric] = self._shift(subject, metric)
        return self._shifts[subject, metric]

    def _shift(self, subject: str, metric: str) -> float:
        level = self.usually(subject, metric)
        shift = moved(level, self.now(subject, metric))
        side = 1 if shift > 0 else -1
        lasting = side * moved(level, self.at(subject, metric, self._before))
        news = min(abs(shift), abs(shift) - lasting)
        if news >= self.threshold:  # the rest does not count anyway
            news = min(news, abs(shift) - reached(level, [self.at(subject, metric, span) for span in self._spans], side, OFTEN))
        return side * max(news, 0.0)

    def since(self, subject: str, metric: str) -> int | None:
        """The minute of the window in which it began to."""
        return onset(self.usually(subject, metric), self.now(subject, metric), self.threshold)

    def now(self, subject: str, metric: str) -> list[float | None]:
        """The metric in the window."""
        return self.at(subject, metric, self._window)

    def of_service(self, service: str, metric: Metric) -> float:
        """The largest shift among a service's pods."""
        return max((self.shift(pod, metric) for pod in self.topology.pods_of(service)), key=abs, default=0.0)

    def at(self, subject: str, metric: str, minutes: Sequence[int]) -> list[float | None]:
        """The metric in some minutes; those beyond its end are left out. `transit` is the seconds that a call of an edge spends between both sides of the mesh."""
        values = self._series.get(metric, {}).get(subject, ())
        found = [values[minute] for minute in minutes if minute < len(values)]
        if metric != "transit":
            return found
        inside = self._series.get("callee_latency", {}).get(subject, ())
        served = [inside[minute] if minute < len(inside) else None for minute in minutes if minute < len(values)]
        return [None if one is None or other is None else one - other for one, other in zip(found, served, strict=True)]
