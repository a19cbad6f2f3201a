"""What is measured of a cluster: which service calls which, which pods serve them, and their metrics minute by minute."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

Metric = Literal["cpu", "memory", "latency", "workload", "errors", "reads", "writes", "caller_latency", "callee_latency"]
"""`cpu` and `memory` in percent of the pod's limit · `latency` in seconds, P90 as the pod serves · `workload` in requests a second ·
`errors` in percent of requests · `reads` and `writes`, system calls a minute · `caller_latency` and `callee_latency` of one call edge in
seconds, P50, as the caller's and the callee's side of the mesh measure it."""


Measured = Annotated[float | None, AfterValidator(lambda value: value if value is None or isfinite(value) else None)]
"""One value; what is no number, as monitoring systems say where they divided by nothing, was not measured."""


class Pod(BaseModel):
    """One pod: the service it serves and the node it runs on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    service: str
    node: str = ""


class Topology(BaseModel):
    """Services that call each other, as pairs (caller, callee), and the pods behind them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: tuple[tuple[str, str], ...] = ()
    pods: tuple[Pod, ...] = ()

    def callees(self, service: str) -> tuple[str, ...]:
        """The services that one calls."""
        return tuple(callee for caller, callee in self.calls if caller == service)

    def service_of(self, name: str) -> str:
        """The service of a pod; a name that is no pod's is a service's own."""
        return next((pod.service for pod in self.pods if pod.name == name), name)

    def pods_of(self, service: str) -> tuple[str, ...]:
        """The pods of a service; its own name where none is known."""
        return tuple(pod.name for pod in self.pods if pod.service == service) or (service,)


class Series(BaseModel):
    """One metric of one subject: a pod, or a call edge written `caller>callee`. A minute that was not measured is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    metric: Metric
    values: tuple[Measured, ...]


class Telemetry(BaseModel):
    """Series that begin at `start` and hold one value a minute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: AwareDatetime
    series: tuple[Series, ...]

    @property
    def minutes(self) -> int:
        """How many minutes the longest series holds."""
        return max((len(series.values) for series in self.series), default=0)

    def at(self, instant: datetime) -> int:
        """The index of the minute that an instant is in; below 0 or above `minutes` where it is outside."""
        return (instant - self.start) // timedelta(minutes=1)

    def of(self, metric: Metric) -> Mapping[str, tuple[float | None, ...]]:
        """One metric of every subject that has it."""
        return {series.subject: series.values for series in self.series if series.metric == metric}

    def between(self, first: datetime, last: datetime) -> Telemetry:
        """The minutes from `first` up to, not with, `last`."""
        begin, end = max(self.at(first), 0), max(self.at(last), 0)
        cut = tuple(series.model_copy(update={"values": series.values[begin:end]}) for series in self.series)
        return Telemetry(start=self.start + timedelta(minutes=begin), series=cut)
