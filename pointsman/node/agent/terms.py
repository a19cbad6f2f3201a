"""What an agent is held to that is a number: declared once, the same in every run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pointsman.errors import BadInput
from pointsman.limit import Limits

TOOL_CALLS = 4
"""Calls of tools for each turn, and questions to people about them, where the limits do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Turns, and the size, time and patience of each call."""

    turns: int
    """How often its model is asked, retries aside; the last time without tools."""
    max_tokens: int
    """The most tokens an answer may have."""
    timeout: float
    """Seconds for each call of a model."""
    retries: int
    """How often a busy provider is asked again in one turn."""
    shown: int
    """Characters that its model is shown of a result."""

    def __post_init__(self) -> None:
        whole = all(type(count) is int for count in (self.turns, self.max_tokens, self.retries, self.shown))
        if not (whole and self.turns > 0 and self.max_tokens > 0 and self.timeout > 0 and self.retries >= 0 and self.shown > 0):
            raise BadInput(
                "an agent needs turns, max_tokens, timeout and shown above 0, and retries of 0 or more, whole numbers but for the timeout",
                remedy="leave them out for the defaults",
            )

    def caps(self, own: Limits | None) -> Limits:
        """The caps of one execution, where the agent's own limits name none."""
        own = own or Limits()
        return Limits(
            model_calls=(self.turns + 1) * (self.retries + 1) if own.model_calls is None else None,
            tool_calls=TOOL_CALLS * self.turns if own.tool_calls is None else None,
            approvals=TOOL_CALLS * self.turns if own.approvals is None else None,
        )

    def data(self) -> dict[str, Any]:
        """The terms as plain data, for the graph's fingerprint."""
        return {name: str(value) for name, value in asdict(self).items()}
