"""How LangGraph's server comes in: what an API call may ask of a run, turned into what `Runs` would have done.

The server's checkpointer (`pointsman.server`) brings the door. A client chooses the input and the configuration of a call, so
nothing in them is trusted but what the server itself put there: the authenticated user, as an object that no JSON can be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from pointsman.errors import Conflict, PointsmanError
from pointsman.lease import Owner
from pointsman.opening import BY, refuse_command
from pointsman.principal import NOBODY, Person
from pointsman.segment import OWNER, Plan

MARK = "langgraph_request_id"
"""What the server puts into the configuration of every run, and a client cannot take out."""

_USER = "langgraph_auth_user"

_KEPT = ("__pregel_node_finished",)
"""Internal keys that the server sets itself: counters, which clients cannot name because they are functions."""


class Door(Protocol):
    """What stands behind the server's checkpointer."""

    owner: Owner

    def saver(self, classes: Sequence[tuple[str, str]]) -> Any:
        """A checkpoint saver that reads, for a graph whose state has values of these classes (module, name)."""

    async def settle(self, graph: Any, thread_id: str, resume: Any, person: Person) -> Sequence[PointsmanError]:
        """Put what a person says to the questions of a thread's run on record; what was refused, where something else was not.

        Raises `PointsmanError` where nothing was decided.
        """

    async def go_on(self, thread_id: str, person: Person) -> None:
        """Let the parked run of a thread have a new try."""

    async def told(self, thread_id: str, error: Exception) -> Exception:
        """An error as a client is told it: with what became of the run, and what to do next."""


@dataclass(slots=True)
class Entry:
    """A call as it goes on to a segment."""

    input: Any
    config: RunnableConfig | None
    door: Door | None = None
    refused: Sequence[PointsmanError] = field(default_factory=tuple)
    """Decisions of the call that were refused while others were taken."""

    @property
    def thread_id(self) -> str:
        """The thread of an API call."""
        return str((self.config or {})["configurable"]["thread_id"])

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """What the call raises, in the words that a client needs; a refusal beside what was taken is raised when that has been done."""
        try:
            yield
        except Exception as error:
            if self.door is None:
                raise
            told = await self.door.told(self.thread_id, error)
            if told is error:
                raise
            raise told from error
        for refused in self.refused:
            raise refused


async def enter(graph: Any, input: Any, config: RunnableConfig | None) -> Entry:
    """A call on a compiled workflow as a segment may take it: untouched where it comes from code, examined where it comes through a server.

    Raises `Conflict` for what is refused through a server, and what `Door.settle` raises.
    """
    place = (config or {}).get("configurable", {})
    if MARK not in place:
        return Entry(input, config)
    refuse_place(place)
    door: Door | None = getattr(graph.checkpointer, "door", None)
    if graph.checkpointer is None:
        raise stateless()
    if door is None:
        raise Conflict(
            "this server was not given pointsman's checkpointer, so it could show nothing of a run",
            undone="nothing was started or changed",
            remedy='put "checkpointer": {"path": "pointsman.server.checkpointer"} into langgraph.json',
        )
    person = principal(place.get(_USER))
    entry = Entry(input, _cleaned(config or {}, door, person), door)
    if isinstance(input, Command):
        refuse_command(input)
        if input.resume is not None:
            entry.refused = await door.settle(graph, entry.thread_id, input.resume, person)
        entry.input = None
    elif input is None:
        await door.go_on(entry.thread_id, person)
    return entry


def shown_by(checkpointer: Any, plan: Plan) -> Any:
    """The checkpointer of a compiled graph; a server's own is put in the form that knows the types of the graph's state."""
    door: Door | None = getattr(checkpointer, "door", None)
    return checkpointer if door is None else door.saver(plan.classes)


def principal(user: Any) -> Person:
    """The person that an authenticated user of the server is. What a client sent is JSON, and has no attributes; Studio's own user is nobody in particular."""
    name = getattr(user, "identity", None)
    real = isinstance(name, str) and name and getattr(user, "is_authenticated", False) and getattr(user, "kind", "") != "StudioUser"
    return Person(str(name), "api") if real else Person("anybody", NOBODY)


def refuse_place(place: Mapping[str, Any]) -> None:
    """Raises `Conflict` for a call that would go on from an older checkpoint, or from within a graph."""
    if place.get("checkpoint_id") or place.get("checkpoint_ns"):
        raise Conflict(
            "a run goes on from where it stands, never from an older checkpoint: that would pass every check in between",
            undone="nothing was changed",
            remedy="`pointsman rerun RUN --node NODE`, which is on record",
        )


def stateless() -> Conflict:
    """The refusal of a run without a thread."""
    return Conflict(
        "a run without a thread is refused: its questions could not be answered, and nobody could look at it",
        undone="nothing was started",
        remedy="create a thread, and start the run on it",
    )


def _cleaned(config: RunnableConfig, door: Door, person: Person) -> RunnableConfig:
    """The configuration without what only LangGraph and this runtime may put into it."""
    place = {name: value for name, value in config.get("configurable", {}).items() if not name.startswith("__")}
    place |= {name: value for name in _KEPT if callable(value := config["configurable"].get(name))}
    place |= {OWNER: door.owner, BY: person.name if person.known_by == "api" else None}
    return {**config, "configurable": place}
