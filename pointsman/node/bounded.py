"""A node's body at work, bounded: it ends by itself, or is ended once it goes on asking for what it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from langgraph.errors import GraphInterrupt

from pointsman.body import leave
from pointsman.errors import LimitReached
from pointsman.gateway import Gateway
from pointsman.gateway.step import Step
from pointsman.gateway.steps import REFUSALS

T = TypeVar("T")


async def bounded(body: Coroutine[Any, Any, T], gateway: Gateway, step: Step) -> T:
    """What a body gives. Raises `LimitReached` where its step has been refused too much; one that catches even that is left behind, and waits for ever.

    It has a task of its own, which is cancelled with its caller, and waited for.
    """
    task = asyncio.ensure_future(body)
    step.gone = gone = asyncio.get_running_loop().create_future()
    ways: set[asyncio.Future[Any]] = {task, gone}
    while not (task.done() or gone.done()):
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
    if not task.done():
        task.cancel()
        leave(task)
    elif not step.enough:
        return task.result()
    elif not task.cancelled():
        task.exception()  # whatever it made of that
    gateway.halt(step)
    if questions := gateway.steps.questions(step):
        raise GraphInterrupt(tuple(questions))
    raise LimitReached(
        f"what it asked for came to nothing {REFUSALS} times in a row, and it went on: {step.enough}",
        step=step.position,
        undone="it was ended",
    )
