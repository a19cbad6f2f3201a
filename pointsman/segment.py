"""The one place where a segment of a run opens and closes, for every caller: `Runs`, Studio, a server, a notebook.

Opening: the run is accepted (or found), its lease claimed, its record read, its version compared. Closing, whatever happened: calls
under way are drained, what is held is committed, the run's state is put on record, the lease let go. A killed process closes
nothing; whoever claims the run next goes on from the record.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from pointsman.errors import Conflict, LeaseLost, OutcomeUnknown, PointsmanError, ToolFailed, legible, said
from pointsman.event import Event
from pointsman.gateway import KEY, Gateway
from pointsman.gateway.rules import Rules
from pointsman.gateway.sending import in_doubt
from pointsman.home import open_owner
from pointsman.journal import Journal, payloads_of
from pointsman.lease import Owner
from pointsman.message import naming
from pointsman.opening import Advance, Taken, addressed, take, there
from pointsman.schema import Schema
from pointsman.store import UNREACHABLE
from pointsman.store.saver import RunSaver

OWNER = "__pointsman_owner"
"""Where `Runs` names the owner that advances the run, in LangGraph's configurable."""

ADVANCE = "__pointsman_advance"
"""Where an engine says which run to advance, as an `Advance`."""

owner_here: ContextVar[Owner | None] = ContextVar("pointsman_owner", default=None)
"""The owner of the `Runs` that is open in this context, for graphs that are called directly."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a compiled workflow brings to a segment."""

    name: str
    rules: Rules
    supersteps: int
    """The most supersteps that one run of the graph can take."""
    schema: Schema
    output: tuple[str, ...]
    """The fields of the graph's output."""
    first: tuple[str, ...]
    """The nodes a run can begin with."""
    descendants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Nodes that can come after each node."""
    classes: tuple[tuple[str, str], ...] = ()
    """(module, name) of every class that values of its state, and of the graphs below it, can have."""


class Saver(Protocol):
    """What a segment needs of LangGraph's saver, besides LangGraph itself."""

    latest: dict[str, Any]
    """Channel values of the newest root checkpoint."""

    async def flush(self) -> None:
        """Commit everything that is held."""


class Segment:
    """One stretch of a run under one lease."""

    def __init__(self, plan: Plan, advance: Advance, taken: Taken, gateway: Gateway, saver: Saver) -> None:
        self.plan = plan
        self.run_id: str = advance.run["run_id"]
        self.thread_id: str = advance.run["thread_id"]
        self.gateway = gateway
        self.control = RunControl()
        self.unfinished = False
        """Whether LangGraph stopped between two nodes, at a breakpoint."""
        self._advance = advance
        self._taken = taken
        self._lease = taken.lease
        self._journal = gateway.journal
        self._saver = saver
        self._journal.listen = self._heard
        self._journal.keep_trying = taken.lease.holds

    @classmethod
    @asynccontextmanager
    async def open(
        cls, plan: Plan, input: Any, config: RunnableConfig, place: Mapping[str, Any]
    ) -> AsyncIterator[tuple[Segment, Any, RunnableConfig]]:
        """A segment of the run that `place` addresses (LangGraph's configurable), with the input and the config to stream it with.

        A new input on a thread without an unfinished run is accepted as a new run. Raises `Conflict` for what is refused from
        outside (goto, update, new input on an unfinished run), `LeaseHeld`, `VersionMismatch`.
        """
        owner = place.get(OWNER) or owner_here.get()
        async with contextlib.AsyncExitStack() as stack:
            if owner is None:
                owner = await stack.enter_async_context(open_owner())
            advance = place.get(ADVANCE) or Advance(await addressed(owner, plan.name, plan.schema, input, place, plan.rules.labels))
            segment = await cls._opened(plan, advance, owner)
            async with segment.advancing(config) as (given, own):
                yield segment, given, own

    @asynccontextmanager
    async def advancing(self, config: RunnableConfig) -> AsyncIterator[tuple[dict[str, Any] | None, RunnableConfig]]:
        """The accepted input (None where the graph has taken it in already) and the config to stream with; on leaving, what came of it goes on record."""
        try:
            yield self._input(), self._config(config)
        except GraphDrained:
            await self._close(None)
        except BaseException as error:
            await self._close(error)
            raise
        else:
            await self._close(None)

    @classmethod
    async def _opened(cls, plan: Plan, advance: Advance, owner: Owner) -> Segment:
        """The segment of a run whose lease is held now."""
        taken = await take(owner, advance, plan.name, plan.rules.version)
        run_id, store, events = advance.run["run_id"], owner.store, taken.events
        salt: bytes = advance.run["salt"]
        journal = Journal(store, run_id, epoch=taken.lease.epoch, head=taken.head, salt=salt, branch=taken.branch, clock=owner.clock)

        async def read(digest: str) -> Any:
            return there(await journal.patiently(lambda: payloads_of(store, run_id, [digest])), digest, run_id)

        rules = replace(plan.rules, principal=events[0].fields.get("by"))
        gateway = Gateway(rules, journal, taken.lease, owner.clock, events, read)
        gateway.ending = ending(events, taken.branch)
        # A thread of the run's own holds no checkpoint before the one that carries the first route.
        empty = taken.input is not None and advance.run["thread_id"] == run_id
        saver = RunSaver(store, journal.save, journal.patiently, JsonPlusSerializer(allowed_msgpack_modules=plan.classes), empty=empty)
        return cls(plan, advance, taken, gateway, saver)

    def _input(self) -> dict[str, Any] | None:
        """The accepted input as the graph takes it, read back from the record."""
        accepted, trees = self._taken.events[0], self._taken.input
        if trees is None:
            return None
        self._journal.note(self._journal.draft("route.taken", to=list(self.plan.first), by="code"))
        names = {name: there(trees, digest, self.run_id) for name, digest in accepted.named("input.").items()}
        schema, named = self.plan.schema, naming(f"{self.run_id}\n")
        values = {name: schema.revive(name, tree) for name, tree in names.items()}
        return {name: named(value) if name in schema.merged else value for name, value in values.items()}

    def _config(self, config: RunnableConfig) -> RunnableConfig:
        own: RunnableConfig = {
            "recursion_limit": self.plan.supersteps,
            "configurable": {
                "thread_id": self.thread_id,
                KEY: self.gateway,
                "__pregel_checkpointer": self._saver,
                "__pregel_strict_resume": True,
            },
        }
        return merge_configs(config, own)

    def _heard(self, event: Event) -> None:
        self.gateway.heard(event)
        if self.gateway.stop is not None:
            self.control.request_drain(str(self.gateway.stop.what))

    async def _close(self, error: BaseException | None) -> None:
        gateway = self.gateway
        try:
            await gateway.sending.drain()
            if not self._lease.holds() or isinstance(error, LeaseLost):
                return
            await self._saver.flush()
            if gateway.stop is not None:
                await self._let_go()
            elif error is None:
                await self._ended()
            elif isinstance(error, Exception) and not (isinstance(error, UNREACHABLE) and gateway.steps.place_of(error) is None):
                await self._parked(error)
            else:  # the caller went away in the middle, or our database: nothing is decided, whoever comes next goes on
                await self._let_go()
        except LeaseLost:
            # Somebody else has taken over since: their word counts.
            if error is None:
                raise
        finally:
            self._lease.end()

    async def _ended(self) -> None:
        gateway, journal = self.gateway, self._journal
        if self.unfinished or gateway.steps.waits():
            # What a step stopped for counts though it was decided since: whoever decided found the run busy, and nobody else would go on with it.
            approvals = list(dict.fromkeys((*(approval.approval_id for approval in gateway.approvals.open()), *gateway.steps.asked())))
            await self._state("waiting", journal.draft("run.waiting", approvals=approvals))
        elif (doubtful := gateway.tape.in_doubt(journal.branch)) is not None:
            await self._parked(in_doubt(doubtful.target, doubtful.position, doubtful.call))
        elif gateway.ending is not None:
            reason = gateway.tape.reasons.get(gateway.ending, "")
            draft = journal.draft("run.failed", payloads={"reason": reason} if reason else {}, quarantined=gateway.ending == "quarantined")
            await self._state("failed", draft, quarantined=gateway.ending == "quarantined")
        else:
            values = {name: value for name, value in self._saver.latest.items() if name in self.plan.output}
            payloads = {f"output.{name}": journal.payload(value) for name, value in values.items()}
            await self._state("done", journal.draft("run.sealed", payloads=payloads))

    async def _parked(self, error: Exception) -> None:
        journal = self._journal
        place = self.gateway.steps.place_of(error)
        what = error.what if isinstance(error, PointsmanError) else said(error) or type(error).__name__
        retryable = isinstance(error, ToolFailed | OutcomeUnknown) and error.retryable
        told = {"type": type(error).__name__, "what": what}
        if isinstance(error, PointsmanError) and error.remedy:
            told["remedy"] = legible(error.remedy)
        payloads = {"error": journal.payload(told)}
        affected = list(self.plan.descendants.get(place.node, ())) if place is not None else []
        position = place.position if place is not None else getattr(error, "step", None) or ""
        draft = journal.draft("run.parked", position, payloads=payloads, error=type(error).__name__, retryable=retryable, affected=affected)
        await self._state("parked", draft, retryable=retryable)

    async def _state(self, state: str, draft: Any, *, quarantined: bool = False, retryable: bool = False) -> None:
        on = self.gateway
        try:
            self._advance.ended = await self._journal.close(
                draft, state, quarantined=quarantined, retryable=retryable, still=lambda: on.stop is None
            )
        except Conflict:  # cancelled while it was ending: that word counts
            await self._let_go()
        self._lease.lost = True

    async def _let_go(self) -> None:
        await self._journal.append(statements=[("release", (self.run_id, self._lease.epoch))])
        self._lease.lost = True


def ending(events: list[Event], branch: int) -> str | None:
    """The end that fails a run, where its record leads there: the owner that reached it may have died."""
    ends = [
        to
        for event in events
        if event.kind == "route.taken" and event.branch == branch
        for to in event.fields["to"]
        if to in ("failed", "quarantined")
    ]
    return ends[-1] if ends else None
