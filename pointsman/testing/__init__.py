"""What tests of a workflow need: a clock that stands still, an outside system that counts, a switch that kills, a wall that finds what passes by.

Nothing here stands in for the runtime itself: tests run the real one, against a real database, in processes that really die.
"""

from pointsman.testing.clock import StillClock
from pointsman.testing.crash import Switch, open_switched
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
    "open_switched",
    "recorded",
    "says",
    "wall",
]
