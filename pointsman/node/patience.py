"""Asking a model once more while its provider is busy, within what a step may still spend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pointsman.errors import ToolFailed
from pointsman.gateway.step import Step, follow

_PAUSE = 0.5
"""Seconds before a retry where the provider does not say how long to wait."""

T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T]], step: Step, patience: int, longest: float) -> tuple[T, int]:
    """What `ask` gives, asked again up to `patience` times while the provider is busy; and what is left of the patience.

    A wait that is longer than `longest` seconds, or than the limits leave, is not begun. Raises `ToolFailed`.
    """
    while True:
        try:
            return await ask(), patience
        except ToolFailed as error:
            if not error.retryable or patience == 0:
                raise
            patience -= 1
            await _wait(step, error, longest)
        finally:
            follow(step.ns)  # LangChain makes the call in a task of its own; what follows it comes after it all the same


async def _wait(step: Step, error: ToolFailed, longest: float) -> None:
    if getattr(error, "recorded", False):
        return  # this step is executed again: the wait was before
    seconds = getattr(error, "retry_after", None)
    seconds = _PAUSE if seconds is None else seconds
    left = step.account.remaining_seconds()
    if seconds > longest or (left is not None and seconds >= left):
        raise ToolFailed(f"{error.what}; it asks to wait {seconds:g} s, which is longer than this step may")
    await asyncio.sleep(seconds)
