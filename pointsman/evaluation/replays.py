"""Many recorded runs again, on as many processor cores as there are: a replay computes and waits for nobody."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pointsman.errors import PointsmanError
from pointsman.evaluation.trace import Trace

WORTH = 40
"""Traces that make another process worth its start."""

Perform = Callable[[Trace], Awaitable[Any]]
"""What is done with one trace, in a loop of its own."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A trace that could not be run again at all."""

    trace_id: str
    why: str


_job: tuple[Perform, Sequence[Trace]] | None = None
"""What the processes that are forked from this one find here."""


def each(perform: Perform, traces: Sequence[Trace], *, workers: int | None = None) -> Iterator[Any]:
    """What `perform` makes of each trace, in their order; `Refused` where it raises an error of ours. Call it outside a running loop.

    `workers` processes share the work (default: one a core, and fewer where there is little to do); they are forked, so that graphs need not be
    loaded again. Where the platform cannot fork, or this process has other threads (a fork copies their locks, held for ever), there is one.
    """
    global _job  # noqa: PLW0603 - how forked processes inherit what cannot be pickled
    wanted = workers or min(os.cpu_count() or 1, len(traces) // WORTH)
    if wanted <= 1 or "fork" not in multiprocessing.get_all_start_methods() or _has_threads():
        yield from (asyncio.run(_performed(perform, trace)) for trace in traces)
        return
    _job = (perform, traces)
    try:
        with multiprocessing.get_context("fork").Pool(wanted) as pool:
            yield from pool.imap(_numbered, range(len(traces)), chunksize=max(1, min(16, len(traces) // wanted // 4)))
    finally:
        _job = None


def _has_threads() -> bool:
    # Of Python, also those that `threading` did not begin.
    return len(sys._current_frames()) > 1  # noqa: SLF001 - documented, for debuggers


def _numbered(number: int) -> Any:
    assert _job is not None
    perform, traces = _job
    return asyncio.run(_performed(perform, traces[number]))


async def _performed(perform: Perform, trace: Trace) -> Any:
    try:
        return await perform(trace)
    except PointsmanError as error:
        return Refused(trace.trace_id, str(error))
