"""An alert as it is delivered, and what is delivered together."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Severity = Literal["critical", "warning", "info"]

ClusterName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""What a cluster may be called: it becomes a part of addresses."""

MAX_ALERTS = 500
"""How many alerts one delivery may hold."""


class Alert(BaseModel):
    """One alert: which rule fired, on what, since when.

    `entity` is the pod, service or node that the rule fired on, "" where the rule names none. The description comes from outside and is
    shown to people and models as what it is: somebody's text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    entity: Annotated[str, Field(max_length=200)] = ""
    severity: Severity = "warning"
    starts_at: Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC))]
    """Monitoring systems say year 1 where they know no time, which is no time that anything can be looked up at."""
    description: Annotated[str, Field(max_length=2000)] = ""

    @property
    def fingerprint(self) -> str:
        """What two deliveries of one alert have in common: rule, entity and start."""
        told = json.dumps([self.name, self.entity, self.starts_at.timestamp()])
        return hashlib.sha256(told.encode()).hexdigest()[:16]


class Delivery(BaseModel):
    """Alerts of one cluster that came together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: ClusterName
    alerts: Annotated[tuple[Alert, ...], Field(max_length=MAX_ALERTS)]


class Firing(BaseModel):
    """Which alerts of a cluster fire now, by fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprints: tuple[str, ...]


class Change(BaseModel):
    """Something that was done to a service on purpose: a rollout, a new configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    service: str
    text: str


class Changes(BaseModel):
    """What was changed in a cluster, the newest last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    changes: tuple[Change, ...] = ()
