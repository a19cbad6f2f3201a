"""The server's way to runs: a reply is put on record as a decision, by the person who is signed in, before anything goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph.types import Command

from pointsman import deciding, fitting, outside
from pointsman.approval import Approval, Approvals
from pointsman.controlled import Controlled
from pointsman.errors import Conflict, NotFound, PointsmanError
from pointsman.journal import events_of, payloads_of
from pointsman.lease import Owner
from pointsman.opening import refuse_command, refuse_input
from pointsman.principal import NOBODY, Person, Roles
from pointsman.served import refuse_place, stateless
from pointsman.server.reply import Reply, answer, edited, replies
from pointsman.server.shown import ShownSaver

_here: list[ServerDoor] = []
"""The door of the server in this process, while it is open."""


class ServerDoor:
    """What a server may ask of the runs of the project at `root`; see `pointsman.served.Door`."""

    def __init__(self, owner: Owner, root: Path) -> None:
        self.owner = owner
        self._root = root

    @contextmanager
    def opened(self) -> Iterator[ServerDoor]:
        """Let the server's other parts find it."""
        _here.append(self)
        try:
            yield self
        finally:
            _here.remove(self)

    def saver(self, classes: Sequence[tuple[str, str]] = ()) -> ShownSaver:
        """A checkpoint saver that reads, for a graph whose state has values of these classes (module, name)."""
        return ShownSaver(self, classes)

    async def settle(self, graph: Controlled, thread_id: str, resume: Any, person: Person) -> Sequence[PointsmanError]:
        """Put what a person says to the questions of a thread's run on record; what was refused, where something else was not.

        Raises `PointsmanError` where nothing was decided.
        """
        run_id, said = await self._said(thread_id, resume)
        roles = await asyncio.to_thread(Roles.read, self._root)
        refused = []
        for reply in said:
            try:
                card = await self._card(run_id, reply.approval)
                await deciding.decide(self.owner, run_id, reply.approval.approval_id, _decision(reply, person, graph, card), roles)
            except PointsmanError as error:
                refused.append(error)
        if len(refused) == len(said) and not any(self._due(reply) for reply in said):  # what has expired lets the run go on
            raise refused[0]
        return refused

    async def check(self, thread_id: str | None, asked: Mapping[str, Any], person: Person) -> None:
        """Raises what a run that a client asks for would be refused with, while it can still be told so: before the server has begun with it."""
        if asked.get("temporary"):
            raise stateless()
        refuse_place((asked.get("config") or {}).get("configurable") or {})
        told = asked.get("command")
        input = Command(goto=told.get("goto") or (), update=told.get("update"), resume=told.get("resume")) if told else asked.get("input")
        refuse_command(input)
        if not isinstance(input, Command) or input.resume is None:
            refuse_input(await self.owner.store.one("thread_run", str(thread_id)), input)
            return
        run_id, said = await self._said(str(thread_id), input.resume)
        roles = await asyncio.to_thread(Roles.read, self._root)
        for reply in said:
            decision = _decision(reply, person, None, {})
            if not self._due(reply):
                await deciding.decide(self.owner, run_id, reply.approval.approval_id, decision, roles, only_check=True)

    async def go_on(self, thread_id: str, person: Person) -> None:
        """Let the parked run of a thread have a new try."""
        run = await self.owner.store.one("thread_run", thread_id)
        refuse_input(run, None)
        assert run is not None
        await deciding.fall_due(self.owner, run["run_id"])
        await outside.resume(self.owner, run["run_id"], by=None if person.known_by == NOBODY else person.name)

    async def told(self, thread_id: str, error: Exception) -> Exception:
        """An error as a client is told it: of one that parked the run, that it did."""
        if isinstance(error, Conflict | NotFound):
            return error
        run = await self.owner.store.one("thread_run", thread_id)
        if run is None or run["state"] != "parked":
            return error
        what = error.what if isinstance(error, PointsmanError) else str(error)
        return PointsmanError(
            f"run {run['run_id'][:8]} is parked: {type(error).__name__}: {what}",
            undone="what failed is not done, and nothing after it",
            remedy=f"see `pointsman show {run['run_id'][:8]}`; then resume it, for a new try, or `pointsman rerun` it from a node",
        )

    def _due(self, reply: Reply) -> bool:
        return reply.approval.state == "open" and reply.approval.is_due(self.owner.clock.now())

    async def _said(self, thread_id: str, resume: Any) -> tuple[str, list[Reply]]:
        run = await self.owner.store.one("thread_run", thread_id)
        if run is None:
            raise NotFound("there is no run on this thread", undone="nothing was decided", remedy="start one with an input")
        approvals = Approvals(await events_of(self.owner.store, run["run_id"]))
        return run["run_id"], replies(resume, approvals)

    async def _card(self, run_id: str, approval: Approval) -> Mapping[str, Any]:
        """The card of a question as it is on record. Raises `NotFound`."""
        card = (await payloads_of(self.owner.store, run_id, [approval.card_digest])).get(approval.card_digest)
        if card is None:
            raise NotFound(f"the card of question {approval.approval_id[:8]} is not on record", undone="nothing was decided")
        return dict(card)


def here() -> ServerDoor:
    """The door of the server in this process. Raises `Conflict` where it was given none."""
    if not _here:
        raise Conflict(
            "this server was not given pointsman's checkpointer, so it could show nothing of a run",
            undone="nothing was started or changed",
            remedy='put "checkpointer": {"path": "pointsman.server.checkpointer"} into langgraph.json',
        )
    return _here[-1]


def _decision(reply: Reply, person: Person, graph: Controlled | None, card: Mapping[str, Any]) -> deciding.Said:
    """A reply as what `person` says; with a `graph`, what they give is checked against it."""
    said = deciding.Said(
        decision=reply.decision,
        by=person.name,
        known_by=person.known_by,
        card_digest=reply.approval.card_digest if reply.card_digest is None else reply.card_digest,
        note=reply.note,
        bound=reply.bound,
    )
    if graph is None:
        return said
    if reply.decision == "edited":
        return replace(said, value=lambda asked: fitting.fitting_arguments(graph, asked, card, edited(reply.value, card)))
    if reply.decision == "answered":
        return replace(said, value=lambda asked: (fitting.fitting_answer(graph, asked, card, answer(reply, card)), ()))
    return said
