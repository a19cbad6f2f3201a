"""The triage: which pod an incident's metrics point to, and whether they do so clearly.

A pod's score is the largest shift among its evidence, since shifts of different mechanisms are no independent votes. The answer is clear where
the first pod's score is both twice the threshold and twice the second's, and rests on more than a change of behaviour: programs do something else
for many reasons, and the remedy would be the riskiest one. Everything else is left open, and says what is there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

from nodes.incident.evidence import Evidence, Mechanism, gather
from nodes.incident.observed import Observed

RATIO: Final = 2.0
"""By how much the first pod has to stand out of the second, and its score out of the threshold, for the answer to be clear."""

SHOWN: Final = 5
"""How many suspects are told."""


class Suspect(BaseModel):
    """A pod and what speaks against it, the strongest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pod: str
    score: float
    evidence: tuple[Evidence, ...]

    @property
    def mechanism(self) -> Mechanism:
        """How the fault works: of the mechanisms in evidence the first in the order of cause. A busy pod is slow; a slow one is not busy for it."""
        return min((entry.mechanism for entry in self.evidence), key=get_args(Mechanism).index)


class Triage(BaseModel):
    """What the metrics say: `clear`, a pod stands out · `open`, something moved and nothing stands out · `quiet`, nothing moved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Literal["clear", "open", "quiet"]
    suspects: tuple[Suspect, ...]
    services: tuple[str, ...] = ()
    """Where the alerts alone would have it begin (`suspects`)."""


def triaged(seen: Observed, services: Sequence[str] = (), near: Collection[str] | None = None) -> Triage:
    """The triage of one window; `near` are the services that the incident can have to do with, None for all."""
    pods = None if near is None else {pod for service in near for pod in seen.topology.pods_of(service)}
    ranked = ranking([entry for entry in gather(seen) if pods is None or entry.pod in pods])
    verdict: Literal["clear", "open", "quiet"] = "clear" if _stands_out(ranked, seen.threshold) else "open" if ranked else "quiet"
    return Triage(verdict=verdict, suspects=tuple(ranked[:SHOWN]), services=tuple(services[:SHOWN]))


def _stands_out(ranked: Sequence[Suspect], threshold: float) -> bool:
    if not ranked or ranked[0].mechanism == "behaviour":
        return False
    return ranked[0].score >= RATIO * max(threshold, ranked[1].score if len(ranked) > 1 else 0.0)


def ranking(evidence: Sequence[Evidence]) -> list[Suspect]:
    """Pods by the largest shift of their evidence."""
    found: dict[str, list[Evidence]] = {}
    for entry in sorted(evidence, key=lambda entry: -abs(entry.shift)):
        found.setdefault(entry.pod, []).append(entry)
    return [Suspect(pod=pod, score=abs(entries[0].shift), evidence=tuple(entries)) for pod, entries in found.items()]
