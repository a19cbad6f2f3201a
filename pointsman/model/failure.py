"""What can go wrong between a model and us, told apart by what it means for the run."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pointsman.errors import ModelBusy, ModelFailed, PointsmanError, said

_NETWORK = ("httpx", "httpx2", "httpcore", "httpcore2", "h11", "aiohttp", "anyio", "ssl")
"""Packages whose errors mean that the connection, not the answer, was at fault."""


def failure(target: str, error: Exception) -> PointsmanError:
    """The error of a model call that failed: `ModelBusy` where trying again can help, `ModelFailed` where it cannot."""
    if isinstance(error, PointsmanError):
        return error
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(status, int) and status >= 400:
        return _refused(target, status, response, error)
    if isinstance(status, int) and status >= 300:
        return _redirected(target, status, response)
    if _is_network(error):
        return ModelBusy(f"{target}: the connection broke ({_named(error)})")
    return ModelFailed(f"{target} answered with something that is no answer of a chat model ({_named(error)})")


def _refused(target: str, status: int, response: Any, error: Exception) -> ModelFailed:
    busy = status in (408, 409, 429) or status >= 500
    raised = (ModelBusy if busy else ModelFailed)(f"{target} refused with HTTP {status} ({_named(error)})")
    raised.refused = status < 500
    if isinstance(raised, ModelBusy):
        raised.retry_after = _seconds(getattr(response, "headers", {}))
    return raised


def _redirected(target: str, status: int, response: Any) -> ModelFailed:
    where = str(getattr(response, "headers", {}).get("location", ""))[:300]
    raised = ModelFailed(
        f"{target} sends the request on to {where!r} (HTTP {status}), and it was not followed: set the address that is meant"
    )
    raised.refused = True
    return raised


def _seconds(headers: Any) -> float | None:
    """`Retry-After` in seconds, as RFC 9110 writes it (a number or a date) or as providers do (`retry-after-ms`)."""
    exact, told = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if exact is None and told is None:
            return None
        seconds = float(told) if exact is None else float(exact) / 1000
        return None if math.isnan(seconds) else max(seconds, 0.0)  # to wait for NaN seconds is to wait for ever
    except ValueError:
        try:
            return max((parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds(), 0.0)
        except (TypeError, ValueError):
            return None


def _is_network(error: BaseException) -> bool:
    kinds = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return (
        isinstance(error, OSError | EOFError)
        or bool(kinds & set(_NETWORK))
        or any(name in type(error).__name__ for name in ("Connection", "Timeout"))
    )


def _named(error: Exception) -> str:
    text = " ".join(said(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
