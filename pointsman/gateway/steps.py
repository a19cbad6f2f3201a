"""The steps of a segment: which one is being executed, which encloses it, which waits, and which ended with what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from langgraph.config import get_config
from langgraph.types import Interrupt

from pointsman.approval import Approval, Approvals
from pointsman.errors import Divergence, Enough, NotAllowed
from pointsman.event import Draft
from pointsman.gateway.accounts import Accounts
from pointsman.gateway.position import Place, Positions
from pointsman.gateway.step import Step
from pointsman.gateway.tape import Tape, divergence
from pointsman.journal import Journal
from pointsman.limit import Account, Limits
from pointsman.policy import Policy

within: ContextVar[str] = ContextVar("pointsman_within", default="")
"""The namespace of the step whose body runs here; graphs that it runs are below it."""

REFUSALS = 256
"""So many calls in a row that came to nothing a step may have asked for; with one more it is ended."""


class Steps:
    """What a segment has begun, ours and those of plain subgraphs."""

    def __init__(
        self, policy: Policy, parks: int, positions: Positions, tape: Tape, accounts: Accounts, journal: Journal, *, approvals: Approvals
    ) -> None:
        self.positions = positions
        positions.ended = self._ended
        positions.raised = lambda place, error: self._failures.append((place, error))
        self._policy = policy
        self._parks = parks
        self._tape = tape
        self._accounts = accounts
        self._journal = journal
        self._approvals = approvals
        self._loop = asyncio.get_running_loop()
        self._by_ns: dict[str, Step] = {}
        self._by_levels: dict[str, Step] = {}
        self._failures: list[tuple[Place, BaseException]] = []

    def here(self) -> Step:
        """The step that is being executed here. Raises `RuntimeError` outside one, `NotAllowed` under the config of another one."""
        config = get_config()
        ns, around = config["configurable"].get("checkpoint_ns", ""), within.get()
        if around and ns != around and not ns.startswith(f"{around}|"):
            raise NotAllowed(
                f"a call was made as if from {ns or 'no step'!r}, under a config or in a graph that is not of this step",
                step=around,
                undone="the call was not made",
                remedy="give tools, models and graphs the config of the step, or none; compile a graph that a body runs without a checkpointer of its own",
            )
        attempt = self.attempt(_node_attempt(config))
        found = self.find(ns)
        if found is None or found.left or found.attempt != attempt:  # a node of a plain subgraph: nobody announced it
            # Known since its start was announced; a caller's own metadata may have taken the place of LangGraph's.
            place = self.positions.find(ns) or self.positions.place(config["metadata"])
            found = self.begin(self._inner(place, attempt))
            self._journal.note(self._started(place, attempt))
        return found

    def _started(self, place: Place, attempt: str) -> Draft:
        fields: dict[str, Any] = {"ns": place.ns, "node": place.node, "superstep": place.superstep, "attempt": attempt}
        return self._journal.draft("step.started", place.position, **fields)

    def _inner(self, place: Place, attempt: str) -> Step:
        """A step of a plain graph: the policies alone decide on its calls, unless it is an agent's, whose list and name hold for it."""
        above, account = self.above(place.ns), self.account(place)
        if above is None or above.grants is None:
            return Step(place, attempt, account, self.policies(place))
        return Step(
            place, attempt, account, above.policies, above.grants, grants=above.grants, within=above.actors,
            inputs=above.inputs, sends=above.sends,
        )  # fmt: skip

    def above(self, ns: str) -> Step | None:
        """The step whose body runs the graph that a namespace belongs to."""
        levels, found = _levels(ns), None
        while found is None and (levels := levels.rpartition("|")[0]):
            found = self._by_levels.get(levels)
        return found

    def around(self, step: Step) -> Iterator[Step]:
        """A step, and those whose bodies run the graph that it stands in, from the inside."""
        one: Step | None = step
        while one is not None:
            yield one
            one = self.above(one.ns)

    async def refused(self, step: Step, why: Exception) -> None:
        """A call came to nothing. Raises `Enough` where that is so for too many in a row of a step or of one around it; who goes on all the same never hears anything again.

        A look for a card is no call of the body: it says neither that it gets on nor that it does not.
        """
        if step.aside:
            return
        ended = None
        for one in self.around(step):
            one.refused += 1
            if one.gone is not None and one.refused > REFUSALS:
                ended = one
        if ended is not None:
            await self._end(ended, getattr(why, "what", type(why).__name__))

    async def made(self, step: Step) -> None:
        """A call was made: a step, and those around it, get on. Raises `Enough` for a step that has asked too often for what it was given before."""
        if step.again > REFUSALS and (ended := next((one for one in self.around(step) if one.gone is not None), None)) is not None:
            await self._end(ended, "it asked again and again for what it had been given")
        for one in () if step.aside else self.around(step):
            one.refused = 0

    async def _end(self, step: Step, why: str) -> None:
        assert step.gone is not None
        if step.enough:
            if not step.gone.done():
                step.gone.set_result(None)
            await asyncio.Event().wait()
        step.enough = why
        raise Enough(why)

    def attempt(self, node_attempt: int) -> str:
        """The try that LangGraph's n-th attempt of a node is: a park begins new ones. Steps of a graph that the node runs count with it."""
        return f"{self._parks}.{node_attempt}"

    def begin(self, step: Step) -> Step:
        """Follow a step from here on, under the guards of the steps around it."""
        before = self._by_ns.get(step.ns)
        if before is not None and before.attempt == step.attempt:  # what stopped in its graphs counts until that is executed again
            step.below = before.below
        if (above := self.above(step.ns)) is not None:
            above.below[step.ns], step.guards = step, above.guards
        self._by_ns[step.ns] = self._by_levels[_levels(step.ns)] = step
        self.positions.enters(step.ns)
        self._tape.rewind(step.ns)
        return step

    def find(self, ns: str) -> Step | None:
        """The newest attempt of the step of a namespace in this segment."""
        return self._by_ns.get(ns)

    def account(self, place: Place, own: Limits | None = None, around: Limits | None = None) -> Account:
        """The account of a step: under that of the step whose body runs its graph."""
        above = self.above(place.ns)
        return self._accounts.of(place.position, above.account if above else None, own, around)

    def policies(self, place: Place, own: tuple[Policy, ...] = ()) -> tuple[Policy, ...]:
        """The policies that must all agree to a step's calls: those of the step whose body runs its graph, and its `own`."""
        above = self.above(place.ns)
        return tuple(dict.fromkeys((*(above.policies if above else (self._policy,)), *own)))

    def waits(self, step: Step | None = None) -> bool:
        """Whether a step, or one in a graph that it runs, waits for a person; without a step, whether any does."""
        return bool(self.questions(step))

    def questions(self, step: Step | None = None) -> list[Interrupt]:
        """What a step, or one in a graph that it runs, waits for; without a step, what any does."""
        own = [other for ns, other in self._by_ns.items() if step is None or ns == step.ns or ns.startswith(f"{step.ns}|")]
        return [question for other in own for question in other.asks.values()]

    def asked(self) -> list[str]:
        """The approvals, by id, that steps of this segment stopped for."""
        return [approval_id for step in self._by_ns.values() for approval_id in step.asks]

    def failed(self, step: Step, error: Exception) -> None:
        """A step ended with an exception; whether that parks the run is decided when the segment ends."""
        self._journal.drop(step.place.task)
        self._failures.append((step.place, error))

    def place_of(self, error: Exception) -> Place | None:
        """Where an error ended a step, of the outermost graph that it passed; None where it came from none."""
        told = [place for place, raised in self._failures if raised is error]
        if told:
            return told[-1]
        node = getattr(error, "node", None)  # LangGraph's own errors name theirs
        return next((step.place for step in reversed(self._by_ns.values()) if step.place.node == node), None)

    def _ended(self, place: Place) -> None:
        """A body has returned, in a graph of ours or in a plain one: what it did with a question or a divergence does not matter."""
        step = self.find(place.ns)
        if step is None:
            # Of a plain graph, and it called nothing: on record all the same, or a later segment would count its visits otherwise.
            attempt = self.attempt(1)
            self._loop.call_soon_threadsafe(self._journal.note, self._started(place, attempt))  # it may be in a thread
            self.check(self._inner(place, attempt))  # its record may hold that it should have called something
            return
        if step.over:
            return
        step.over = True
        self.check(step)

    def check(self, step: Step) -> None:
        """A body has ended. Raises why its step must not: a question, a lost lease, or that it did not ask for what its record holds, or for what people have said yes to."""
        step.stop(ends=True)
        left = self._tape.left_over(step.ns, step.attempt)
        if left is not None:
            raise divergence(step.position, left)
        branch = self._journal.branch
        unmet = [one for one in self._approvals.unused(step.position, branch) if one.approval_id not in step.met]
        for approval in (*unmet, *filter(self._is_passed_over, self._approvals.unused_below(step.position, branch))):
            said = (
                f"had a call of {approval.tool} made otherwise" if approval.state == "edited" else f"said yes to a call of {approval.tool}"
            )
            raise Divergence(
                f"{approval.by} {said} (approval {approval.approval_id[:8]}), and the step did not ask for it again",
                step=step.position,
                undone="that call was not made, and nothing of this step was saved",
                remedy="let what a step and the middleware around it do depend on recorded values only; then `pointsman rerun`",
            )

    def _is_passed_over(self, approval: Approval) -> bool:
        """Whether the step that asked for a call was not executed again since people said yes to that: then its own end has not told either."""
        if any(one.position == approval.position for one in self._by_ns.values()):
            return False
        begun = self._tape.starts.get(approval.position)
        return begun is None or begun.seq < approval.settled_at


def _levels(ns: str) -> str:
    """A namespace without the counts of graphs that one body called again."""
    return "|".join(part for part in ns.split("|") if not part.isdigit())


def _node_attempt(config: Any) -> int:
    runtime = config["configurable"].get("__pregel_runtime")
    info = getattr(runtime, "execution_info", None)
    return int(getattr(info, "node_attempt", None) or 1)
