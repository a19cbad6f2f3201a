"""What can be done to a cluster: four actions, what each would do, and what became of one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.cluster.alert import ClusterName

Action = Literal["restart", "scale", "reschedule", "rollback"]
"""`restart` a pod · `scale` a service up by one pod · `reschedule` a pod onto another node · `rollback` a service to its version before."""

Risk = Literal["low", "medium", "high"]
"""How much can go wrong with a remedy."""

OF_PODS: tuple[Action, ...] = ("restart", "reschedule")
"""The actions whose target is a pod; that of the others is a service."""


class Remedy(BaseModel):
    """One action on one target of one cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: ClusterName
    action: Action
    target: Annotated[str, Field(min_length=1, max_length=200)]

    def __str__(self) -> str:
        return f"{self.action} {self.target} in {self.cluster}"


class Preview(BaseModel):
    """What a remedy would do, worked out by the cluster without doing it.

    `revision` counts the remedies that were given so far to what it is about, its callers and its callees. A remedy is only taken under the
    revision that it was previewed at, so nobody approves what would happen to something that has changed since.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    remedy: Remedy
    does: str
    felt_by: tuple[str, ...]
    """The services that call what is acted upon."""
    revision: int


class Applied(BaseModel):
    """What became of a remedy: its receipt, or that nothing was done because what was previewed no longer held."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    remedy: Remedy
    number: int | None
    """Of the remedy among all; None where it was not applied."""
    revision: int
    """The revision since."""


class Opening(BaseModel):
    """A claim on alerts, and the incident that they are taken as."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: ClusterName
    incident: str
    alerts: tuple[str, ...]
    """Fingerprints."""


class Opened(BaseModel):
    """Whether the alerts are this incident's to handle, or another's: whose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    held: Literal["yours", "taken"]
    incident: str
