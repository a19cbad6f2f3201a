"""One execution of a node, as the gateway follows it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt

from pointsman.gateway.position import Place
from pointsman.guard import Guard
from pointsman.limit import Account
from pointsman.policy import Policy

_causes: ContextVar[tuple[str, int]] = ContextVar("pointsman_causes", default=("", 0))


def follow(ns: str) -> int:
    """How many calls of this step were made in this context up to and with this one.

    A context follows the code (a gathered branch gets a copy), so parallel chains are told apart whatever their timing.
    """
    where, depth = _causes.get()
    depth = depth + 1 if where == ns else 1
    _causes.set((ns, depth))
    return depth


@dataclass(slots=True)
class Step:
    """A step in progress: what it may do, and what it has asked for so far."""

    place: Place
    attempt: str
    """The try: `parks.attempt`, parks of the run so far and LangGraph's attempt of the node."""
    account: Account
    policies: tuple[Policy, ...] = ()
    tools: frozenset[str] | None = None
    """Tools in the node's list; None where the node is not ours (a plain subgraph) and the policy alone decides."""
    calls_left: int | None = None
    asks: dict[str, Interrupt] = field(default_factory=dict)
    """Questions that stopped this step, by approval id. Once there is one, the step makes no further call."""
    error: BaseException | None = None
    """Why the step must not go on, though its body may have swallowed it: a lost lease, a divergence, an effect of unknown outcome."""
    over: bool = False
    """True once it has ended: a thread it left behind makes no further call."""
    kept: bool = False
    """Whether its recorded output was taken, in a rerun, and nothing was executed."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Salted digests of the fields it received."""
    sends: Mapping[str, int] = field(default_factory=dict)
    """The fields that it puts into its model's prompt, and how many bytes of each."""
    grants: frozenset[str] | None = None
    """What a graph that its body runs may call, where it is an agent's: the steps in it have no other list."""
    within: tuple[str, ...] = ()
    """The agents on whose behalf it acts, outermost first; empty where it acts on its own node's."""
    closed: str = ""
    """Which cap of its agent it stands at; empty while it may begin calls."""
    aside: bool = False
    """Whether it only looks what an effect of the step would do: its calls belong to the card, not to what the step does."""
    guards: tuple[Guard, ...] = ()
    """What examines its calls: guards of its node and of those around it."""
    below: dict[str, Step] = field(default_factory=dict)
    """The newest attempts of the steps in graphs that its body runs, by namespace."""
    left: bool = False
    """Whether its graph is run again within this segment: whoever comes by its place next begins anew."""
    met: set[str] = field(default_factory=set)
    """Approvals, by id, of calls and content that this execution has asked about."""
    refused: int = 0
    """How many calls in a row, its own and those of steps in graphs that its body runs, came to nothing."""
    again: int = 0
    """How often it has asked for what it had been given already."""
    enough: str = ""
    """Why it is to end whatever its body does: the newest of too many refusals; empty while they are not too many."""
    gone: asyncio.Future[None] | None = None
    """Set where its body went on though it was told that it is enough; None for a step whose body somebody else ends."""
    exit: str = "done"
    reason: str = ""
    decided_by: str = "code"
    _equal: Counter[tuple[str, str]] = field(default_factory=Counter)
    _given: set[tuple[str, str]] = field(default_factory=set)
    """Requests of which the next equal one is the one before it."""

    @property
    def position(self) -> str:
        """Where it stands in the run."""
        return self.place.position

    @property
    def ns(self) -> str:
        """LangGraph's namespace of it."""
        return self.place.ns

    @property
    def actors(self) -> tuple[str, ...]:
        """The nodes that a policy has to let make its calls."""
        return self.within or (self.place.node,)

    @property
    def node(self) -> str:
        """The node that makes its calls, as people know it."""
        return self.actors[-1]

    def stop(self, *, ends: bool = False) -> None:
        """Raise why the step must not go on, where there is a reason: an open question, a lost lease, a divergence, an effect of unknown outcome.

        Where it `ends`, a reason of a step in a graph that it ran is one too; before that, what runs beside such a graph does not depend on which came first.
        """
        both = list(self.and_below()) if ends else [self]
        if asks := [question for one in both for question in one.asks.values()]:
            raise GraphInterrupt(tuple(asks))
        if (error := next((one.error for one in both if one.error is not None), None)) is not None:
            raise error

    def and_below(self) -> Iterator[Step]:
        """It, and the steps in graphs that its body runs, of any depth."""
        yield self
        for one in self.below.values():
            yield from one.and_below()

    def next_k(self, target: str, digest: str) -> int:
        """How many equal requests this execution has made before this one."""
        k = self._equal[target, digest]
        self._equal[target, digest] += 1
        self.again += (target, digest) in self._given
        return k

    def same_again(self, target: str, digest: str) -> None:
        """The next equal request is the one before it."""
        self._equal[target, digest] -= 1
        self._given.add((target, digest))

    def spend_call(self) -> None:
        """One of the calls that a step may make has been made, now or before."""
        if self.calls_left is not None:
            self.calls_left -= 1

    def keep_call(self) -> None:
        """The call was not begun after all."""
        if self.calls_left is not None:
            self.calls_left += 1

    def call_id(self, target: str, digest: str, k: int) -> str:
        """The id of one call: of this execution's namespace and try, the target, the request and its count."""
        return hashlib.sha256(f"{self.ns}\n{target}\n{digest}\n{k}\n{self.attempt}".encode()).hexdigest()[:16]

    def key(self, run_id: str, target: str, digest: str, k: int) -> str:
        """The idempotency key: of the run, the position without branch and try, the target, the request and its count."""
        return hashlib.sha256(f"{run_id}\n{self.position}\n{target}\n{digest}\n{k}".encode()).hexdigest()
