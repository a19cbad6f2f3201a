"""The recorded airline runs as the evaluator's commands take them: the tools with a copy of the airline, and which writes were right.

pointsman eval import "$POINTSMAN_DATA/airline/recorded-runs.json.gz" --name airline
pointsman eval drift airline --tools evals.airline_trial:reachable
pointsman eval backtest airline --policy guards.airline:every_write_asks --tools tools.airline:TOOLS --right evals.airline_trial:right
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from evals.measuring import measuring_data
from pointsman.evaluation.drift import Reachable
from pointsman.evaluation.trace import Call, Trace
from tools.airline import TOOLS, WRITES, Airline, using

_WRITES = {tool.name for tool in WRITES}


def copied() -> AbstractContextManager[Any]:
    """The airline as it was before a run, for that run alone. Raises `OSError` without `POINTSMAN_DATA`."""
    return using(_airline().fresh())


reachable = Reachable(tools=TOOLS, around=copied, writes=True)
"""Every tool, on a copy."""


def right(trace: Trace, call: Call) -> bool | None:
    """Whether a recorded write is one that its task expects, by name and arguments; None for what is no write."""
    if call.target not in _WRITES:
        return None
    wanted = trace.facts["info"]["task"]["actions"]
    return {"name": call.target, "kwargs": call.arguments} in [{"name": one["name"], "kwargs": one["kwargs"]} for one in wanted]


@cache
def _airline() -> Airline:
    return Airline.read(measuring_data() / "airline")
