"""What an agent's model is told of a call: made by the runtime alone, capped in size, marked as data that nobody has vouched for."""

from __future__ import annotations

from typing import Any

from pointsman.errors import BadInput, Denied, Expired, LimitReached, PointsmanError, Rejected, ToolFailed
from pointsman.node.prompt import block, shown

SHOWN = 8_000
"""Characters of a result that a model is shown where the agent does not say."""

SEEN = (Denied, LimitReached, Rejected, Expired, ToolFailed)
"""How a call can end that the model is told of, and may act upon; everything else ends or stops the agent."""

_WORDS = ((Denied, "Denied"), (LimitReached, "Limit reached"), (Rejected, "Rejected by a person"), (Expired, "Not decided in time"))


def result(tool: str, value: Any, size: int) -> str:
    """A result as its model sees it; one that its type takes and no record does (NaN, a time without a zone) is only named."""
    try:
        text = shown(value)
    except (BadInput, ValueError) as error:
        text = f"(its answer cannot be shown: {error.what if isinstance(error, BadInput) else type(error).__name__})"
    cut = f"\n[cut: {size} of {len(text)} characters are shown]" if len(text) > size else ""
    return block(tool, text[:size] + cut, "tool")


def refusal(tool: str, error: PointsmanError, size: int) -> str:
    """Why there is no result. What a tool said of its failure is its own text, so it is data too."""
    word = next((word for kind, word in _WORDS if isinstance(error, kind)), None)
    if word is None:
        return f"Failed:\n{block(tool, error.what[:size], 'tool')}"
    why = "" if isinstance(error, Rejected | Expired) else f": {error.what[:size]}"  # the word says it
    return f"{word}{why}. {error.undone or 'the call was not made'}."
