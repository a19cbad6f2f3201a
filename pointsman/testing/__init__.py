"""What tests of a workflow need: a clock that stands still, an outside system that counts, a switch that kills, a wall that finds what passes by.

Nothing here stands in for the runtime itself: tests run the real one, against a real database, in processes that really die.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointsman.testing.clock import StillClock
    from pointsman.testing.crash import Switch, open_switched
    from pointsman.testing.hostile import hostile_models, hostile_tools
    from pointsman.testing.openai_acts import Act, abstain, answer, recorded
    from pointsman.testing.openai_server import OpenAIServer
    from pointsman.testing.outside import Count, Outside, call, happened
    from pointsman.testing.scripted import ScriptedModel, calls, says
    from pointsman.wall import Breach, Wall, wall

__all__ = [
    "Act",
    "Breach",
    "Count",
    "OpenAIServer",
    "Outside",
    "ScriptedModel",
    "StillClock",
    "Switch",
    "Wall",
    "abstain",
    "answer",
    "call",
    "calls",
    "happened",
    "hostile_models",
    "hostile_tools",
    "open_switched",
    "recorded",
    "says",
    "wall",
]

_HOMES = {
    "pointsman.testing.clock": ("StillClock",),
    "pointsman.testing.crash": ("Switch", "open_switched"),
    "pointsman.testing.hostile": ("hostile_models", "hostile_tools"),
    "pointsman.testing.openai_acts": ("Act", "abstain", "answer", "recorded"),
    "pointsman.testing.openai_server": ("OpenAIServer",),
    "pointsman.testing.outside": ("Count", "Outside", "call", "happened"),
    "pointsman.testing.scripted": ("ScriptedModel", "calls", "says"),
    "pointsman.wall": ("Breach", "Wall", "wall"),
}


def __getattr__(name: str) -> Any:
    # When it is asked for: the servers are programs of their own (`python -m`), and need neither each other nor LangGraph.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
