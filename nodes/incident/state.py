"""The states of a delivery of alerts and of one incident in it, field by field in the order in which the nodes write them."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from nodes.incident.evidence import Mechanism
from nodes.incident.group import Incident
from nodes.incident.triage import Triage
from pointsman import InputFile
from tools.casebook import Case, Filed
from tools.cluster import Applied, Delivery, Opened, Opening, Preview, Remedy, Risk

Told = Annotated[str, Field(min_length=1, max_length=2000)]


class Opinion(BaseModel):
    """What somebody takes to be the cause: a pod, how the fault works, and what it rests on. The form of an agent's answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pod: Annotated[str, Field(min_length=1, max_length=200)]
    mechanism: Mechanism
    because: Told


class Diagnosis(BaseModel):
    """An opinion that was checked, and whose it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pod: str
    service: str
    mechanism: Mechanism
    because: str
    source: Literal["triage", "agent"]


class Proposal(BaseModel):
    """A remedy that somebody may approve: what it rests on, and how much can go wrong with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    remedy: Remedy
    risk: Risk
    because: str
    source: Literal["triage", "agent", "person"]


class Decision(BaseModel):
    """What a person wants done: a remedy, which is still asked about like any other, or None to close the incident as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    remedy: Remedy | None = None
    note: Told


class DeliveryState(TypedDict, total=False):
    """What a run knows of the alerts that it was given: as a file, or as they are."""

    path: InputFile
    delivery: Delivery
    incidents: tuple[Incident, ...]
    reports: Annotated[list[Case], operator.add]
    """How each incident ended."""
    reason: str
    """Why the delivery is set aside; empty while it is not."""


class IncidentState(TypedDict, total=False):
    """What is known of one incident."""

    incident: Incident
    opening: Opening
    opened: Opened
    triage: Triage
    firing: bool
    """Whether any of its alerts fires."""
    opinion: Opinion
    diagnosis: Diagnosis
    proposal: Proposal
    preview: Preview
    risk: Risk
    applied: Applied
    stale: bool
    """Whether the remedy was not applied because what was previewed no longer held: it is previewed, and asked about, anew."""
    looks: int
    """How often it was looked whether the present remedy has helped."""
    tried: tuple[Remedy, ...]
    """Remedies that were applied, in their order."""
    trouble: str
    """Why a person is asked, in words."""
    decision: Decision
    case: Case
    filed: Filed
    reports: Annotated[list[Case], operator.add]


class Reported(TypedDict, total=False):
    """What an incident leaves to its delivery."""

    reports: Annotated[list[Case], operator.add]
