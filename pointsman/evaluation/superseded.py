"""Steps whose work a repair had done again under another version of the graph: they do in a replay what they did then, since the graph that did it is gone.

What stands in the end is the work of the newer version, and that is executed and compared. Steps that have changed the world are executed too: what
came after them rests on those calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from langgraph.types import Command

from pointsman.errors import PointsmanError
from pointsman.evaluation.trace import Record
from pointsman.event import Event
from pointsman.gateway.tape import Tape
from pointsman.node import Given, Node, Outcome
from pointsman.tool import WORLD_UNCHANGED

Place = tuple[int, str]
"""A branch, and a position in it."""


class Superseded(PointsmanError):
    """A step did not come to an end then, and was executed again under another version."""


class Earlier:
    """The steps of a record that were superseded, by branch and position."""

    def __init__(self, record: Record) -> None:
        self._payloads = record.payloads
        self._started: dict[Place, Event] = {}
        self._ended: dict[Place, Event] = {}
        self._routes: dict[Place, Event] = {}
        versions: dict[int, str] = {}
        for event in record.events:
            place = (event.branch, event.position)
            if event.kind == "run.opened":
                versions[event.branch] = event.fields["version"]
            elif event.kind == "step.started":
                self._started[place] = event
            elif event.kind == "step.finished":
                self._ended[place] = event
            elif event.kind == "route.taken":
                self._routes[place] = event
        reruns = [place for place in self._started if place[0] > 0]
        calls = [call for call in Tape(record.events).all() if call.outcome == "done"] if reruns else []
        changed = [(call.branch, f"{call.position}/") for call in calls if call.effect not in (None, *WORLD_UNCHANGED)]
        self.places = {
            (branch, position)
            for branch, position in self._started
            if any(self._replaces(later, (branch, position), versions) for later in reruns)
            and not any(where == branch and effect.startswith(f"{position}/") for where, effect in changed)
        }

    def _replaces(self, later: Place, place: Place, versions: Mapping[int, str]) -> bool:
        if later[1] != place[1] or later[0] <= place[0] or versions.get(later[0]) == versions.get(place[0]):
            return False
        return later not in self._ended or "kept" not in self._ended[later].fields

    def instead(self, executed: Callable[[Node], Node], branch: Callable[[], int]) -> Callable[[Node], Node]:
        """What is executed in the place of a node: that which `executed` says, but for its superseded steps; `branch` is the replay's present one."""
        if not self.places:
            return executed

        def chosen(node: Node) -> Node:
            tried, here = executed(node), branch()
            then = [
                event
                for place, event in self._started.items()
                if place in self.places and (place[0], event.fields["node"]) == (here, node.name)
            ]
            if not then or tried.schema is None:  # that of an agent below another one is executed as that asks for it
                return tried

            async def execute(given: Given) -> Outcome:
                place = (here, given.step.position)
                if place not in self.places or "sends" in getattr(self._ended.get(place), "fields", ()):
                    return await tried.execute(given)
                if place not in self._ended:
                    raise Superseded("the step was executed again later, under another version", step=given.step.position)
                return as_then(self._ended[place], self._routes.get(place), self._payloads, tried)

            return replace(tried, execute=execute, version=then[-1].fields.get("version", tried.version))

        return chosen


def as_then(ended: Event, route: Event | None, payloads: Mapping[str, Any], node: Node) -> Outcome:
    """The outcome of a step as it is on record."""
    assert node.schema is not None
    update = {name: node.schema.revive(name, payloads[digest]) for name, digest in ended.named("output.").items()}
    goto = ended.fields.get("goto")
    reason = str(payloads[route.payloads["reason"]]) if route is not None and "reason" in route.payloads else ""
    by = str(route.fields["by"]) if route is not None else "code"
    return Outcome(Command(update=update, goto=goto) if goto else update, ended.fields["exit"], reason, by)
