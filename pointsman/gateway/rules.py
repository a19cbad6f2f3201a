"""What holds for a run as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pointsman.label import Label
from pointsman.limit import Limits
from pointsman.policy import Policy
from pointsman.price import Price


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for a whole run: its policy and limits, the version it is pinned to, and on whose behalf it goes."""

    policy: Policy
    limits: Limits
    version: str
    principal: str | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    labels: Mapping[str, Label] = field(default_factory=dict)
    """Labels of the run's input, by field or dotted path into one."""
