"""One call of a model as the seam hands it to the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """A request to a model before its verdict."""

    target: str
    """`provider:name`, as policies and records name the model."""
    model: str
    provider: str
    base_url: str
    """Where it is sent; empty where the model does not say."""
    payload: Any
    """What the provider is sent, as an encoded tree: model, messages without ids, tools, response format, parameters. The same whether streamed or not."""
    output_tokens: int | None
    """The most tokens the answer may have; None where the request does not bound them."""
    timeout: float
    """Seconds after which the call is given up."""
    perform: Callable[[str], Awaitable[dict[str, Any]]]
    """Makes the HTTP call under an idempotency key; the answer as it is recorded (see `pointsman.model.answer`). Raises `ModelFailed`."""
    plain: bool = False
    """Whether the model's class is synchronous, so that the call needs a thread."""
