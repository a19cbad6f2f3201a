"""The stage on which a recorded run is played again: its gateway, journal, lease and clock, none of which reaches the world.

Everything that a segment needs of a store is given here from memory; the segment, the gateway and the graph are the real ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langsmith import tracing_context

from pointsman.approval import Approval, Approvals
from pointsman.controlled import Controlled
from pointsman.errors import NotFound
from pointsman.evaluation.cut import Cut
from pointsman.evaluation.divergence import Besides
from pointsman.evaluation.memory import Held, Kept, Then
from pointsman.evaluation.playback import Playback, Variation
from pointsman.evaluation.superseded import Earlier, Superseded
from pointsman.evaluation.trace import Record
from pointsman.event import STANDS, Draft, Event
from pointsman.evidence import value_digest
from pointsman.file import contents
from pointsman.gateway import Gateway
from pointsman.model.choice import Environment, environment
from pointsman.opening import Advance, Taken
from pointsman.recovery import commit
from pointsman.segment import Segment, ending
from pointsman.store.memory import MemorySaver
from pointsman.tool import WORLD_UNCHANGED
from pointsman.wall import Breach, wall


class Stage:
    """One recorded run being played again on a graph."""

    def __init__(self, graph: Controlled, record: Record, variation: Variation | None = None) -> None:
        self._graph = graph
        self._record = record
        self._past = record.events
        earlier, given = Earlier(record), variation or Variation()
        # Where something is otherwise than it was, who vouches for what may be, too.
        same = given.is_unchanged and {graph.plan.rules.version} >= {
            event.fields["version"] for event in self._past if event.kind in ("run.opened", "run.repaired")
        }
        self._variation = replace(given, labels=same, instead=earlier.instead(given.instead, lambda: self._journal.branch))
        self._rules = self._variation.rules or replace(graph.plan.rules, principal=self._past[0].fields.get("by"))
        self.source = Playback(self._past, record.payloads, self._variation, superseded=earlier.places, cut=Cut.of(self._past))
        self._clock = Then(self._past[0].time)
        self._journal = Kept(record, self._clock)
        self._journal.payloads |= record.payloads
        self._journal.wrote = self._wrote
        self._gateway: Gateway | None = None
        self._saver = MemorySaver(self._journal.save, JsonPlusSerializer(allowed_msgpack_modules=graph.plan.classes))
        asked = {event.fields["approval"]: event.branch for event in self._past if event.kind == "ask.opened"}
        said = [event for event in self._past if event.kind in ("ask.decided", "ask.expired")]
        # What a rerun went past came to its end with the rerun, in the rerun's branch; nobody said anything to it.
        self._script = [event for event in said if event.kind == "ask.decided" or event.branch == asked[event.fields["approval"]]]
        self._rests = deque(rests(self._past))

    @property
    def events(self) -> list[Event]:
        """What was put on record so far."""
        return self._journal.events

    @property
    def payloads(self) -> dict[str, Any]:
        """The payloads of both records, as encoded trees by salted digest."""
        return self._journal.payloads

    def besides(self) -> Besides:
        """What it takes to tell where the two records part."""
        told = (event.fields for event in (*self._past, *self.events) if "effect" in event.fields)
        called = {fields["target"]: fields["effect"] for fields in told} | {missed.target: missed.effect for missed in self.source.missed}
        effects = frozenset(target for target, effect in called.items() if effect not in WORLD_UNCHANGED)
        parked = [event.position for event in self.events if event.kind == "run.parked"]
        questions = {asked.position: asked.rules[0] for asked in Approvals(self.events).open() if self._is_new(asked)}
        return Besides(self.payloads.values(), effects, parked[-1] if parked else "", questions)

    async def play(self) -> list[Breach]:
        """Run it until it stands as it stood then, or cannot go on; what was tried past the gateway."""
        await self._journal.append(_again(self._past[0]))
        with ExitStack() as stack:
            stack.enter_context(tracing_context(enabled=False))
            stack.callback(contents.reset, contents.set(self._record.files))
            told = None if self._variation.live else _environment(self._past)
            stack.callback(environment.reset, environment.set(told))
            built = stack.enter_context(wall())
            while not self._is_cut() and await self._segment():
                pass
        return built.breaches

    def _wrote(self) -> None:
        """Let the cancellation come that the record tells of, where the replay has got there."""
        cut = self.source.cut
        if cut is None or cut.come.is_set() or self.source.unused or not cut.is_due(self.events):
            return
        cut.come.set()
        if self._gateway is not None:
            self._let_go(self._gateway)
        event = self._journal.put(_again(cut.event))
        if self._journal.listen is not None:
            self._journal.listen(event)

    def _is_cut(self) -> bool:
        return self.source.cut is not None and self.source.cut.come.is_set()

    async def _segment(self) -> bool:
        """One segment; whether there is another."""
        events, lease = list(self.events), Held(self._record.run_id)
        gateway = Gateway(self._rules, self._journal, lease, self._clock, events, self._read, source=self.source)
        gateway.ending = ending(events, self._journal.branch)
        self._gateway = gateway
        fresh = not any(event.kind == "route.taken" for event in events)
        taken = Taken(lease, self._journal.head, self._journal.branch, events, self.payloads if fresh else None)
        run = {"run_id": self._record.run_id, "thread_id": self._record.run_id}
        segment = Segment(self._graph.plan, Advance(run), taken, gateway, self._saver)
        await self._journal.append(self._journal.draft("run.opened", owner="", epoch=0, version=self._rules.version))
        with self._ended():
            async with segment.advancing({}) as (given, own):
                options: dict[str, Any] = {"stream_mode": "updates", "durability": "sync", "control": segment.control}
                try:
                    async for _ in self._graph.astream(given, own, **options):
                        pass
                finally:
                    self._let_go(gateway)
        return not self._is_cut() and (await self._told() or await self._turned())

    def _let_go(self, gateway: Gateway) -> None:
        """Let go of the calls of which nobody ever heard."""
        for call in self.source.unheard:
            if (under_way := gateway.sending.under_way(call)) is not None:
                under_way.cancel()

    @contextlib.contextmanager
    def _ended(self) -> Iterator[None]:
        """What a segment may end with: an error, which is on record, or a call of which nobody ever heard, where the run was cut short."""
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._is_cut() or (task is not None and task.cancelling()):
                raise
        except Exception:  # noqa: BLE001 - it is on record: the run has parked
            return

    async def _told(self) -> bool:
        """Say what people said then to the questions that are open now; whether anything was said."""
        said = False
        for approval in Approvals(self.events).open() if self.events[-1].kind == "run.waiting" else ():
            for event in self._said_to(approval):
                self._script.remove(event)
                await self._journal.append(self._as_said(event, approval))
                self._rests = deque(
                    rest for rest in self._rests if rest[1] is not None or rest[0].seq > event.seq
                )  # it went on by what was said
                said = True
        return said

    def _as_said(self, event: Event, approval: Approval) -> Draft:
        """A decision as it was made then, or as it is to be tried."""
        fields = {**event.fields, "approval": approval.approval_id}
        if event.position not in self._variation.decisions:
            return Draft(event.kind, event.time, event.position, fields, event.payloads)
        said = self._variation.decisions[event.position]
        word = said if said in ("approved", "rejected") else "answered" if approval.asks_for_value else "edited"
        payloads = {} if word == said else {"value": self._journal.payload_of(said)}
        fields = {"known_by": "code", "by": "tried", **fields, "decision": word}
        return Draft("ask.decided", event.time, event.position, fields, {"card": approval.card_digest, **payloads})

    async def _turned(self) -> bool:
        """Do what was done then with the run at rest: it was continued, repaired, cancelled, or left alone. Whether it goes on."""
        turn = self._turn()
        if turn is None or any(not missed.served for missed in self.source.missed):
            return False
        if turn.kind == "run.repaired":
            return await self._repaired(turn)
        await self._journal.append(_again(turn))
        return turn.kind == "run.continued"

    def _turn(self) -> Event | None:
        """What followed then where the run stood as it stands now. Rests that the replay did not come by (an outcome is known at once here) are passed over."""
        here = self.events[-1]
        while self._rests:
            rest, turn = self._rests.popleft()
            told = (rest.fields.get("error"), here.fields.get("error"))
            if told[1] == Superseded.__name__ and turn is not None and turn.kind == "run.repaired":
                return turn
            # What was unknown then, until a person found out that it had not happened, fails at once here.
            if rest.kind == here.kind and (told[0] == told[1] or told == ("OutcomeUnknown", "ToolFailed")):
                return turn
        return None

    async def _repaired(self, turn: Event) -> bool:
        """Fork as the rerun on record forked, with its patch."""
        origin = next((event for event in reversed(self.events) if event.kind == "step.started" and event.position == turn.position), None)
        if origin is None:
            return False
        self._journal.branch += 1
        fields = {**turn.fields, "superstep": origin.fields["superstep"] - 1, "version": self._rules.version}
        self._journal.note(Draft(turn.kind, turn.time, turn.position, fields, turn.payloads))
        for approval in Approvals(self.events).open():
            self._journal.note(self._journal.draft("ask.expired", approval.position, approval=approval.approval_id))
        patch = {name: self._graph.plan.schema.revive(name, self.payloads[digest]) for name, digest in turn.named("patch.").items()}
        await commit(self._graph, self._saver, self._record.run_id, origin.fields["checkpoint"], patch)
        return True

    def _said_to(self, approval: Approval) -> list[Event]:
        """The recorded decisions on the question that asks the same at the same position, and has not been settled yet."""
        for then in Approvals(event for event in self._past if event.kind == "ask.opened").open():
            found = [event for event in self._script if event.fields.get("approval") == then.approval_id]
            same = (then.position, then.tool, then.k) == (approval.position, approval.tool, approval.k)
            if found and same and self._asks_the_same(then, approval):
                return found
        return []

    def _is_new(self, approval: Approval) -> bool:
        """Whether nothing was asked there then, or only about other calls while this one was made."""
        asked = (
            then for then in Approvals(event for event in self._past if event.kind == "ask.opened").open() if then.tool == approval.tool
        )
        there = [then for then in asked if then.position == approval.position]
        if not there or not approval.tool or any(self._asks_the_same(then, approval) for then in there):
            return not there
        made = [event for event in self._past if event.kind == "call.intent" and event.position == approval.position]
        wanted = self.payloads[approval.card_digest]["arguments"]
        return any(event.fields["target"] == approval.tool and self.payloads[event.payloads["request"]] == wanted for event in made)

    def _asks_the_same(self, then: Approval, now: Approval) -> bool:
        before, after = (self.payloads[asked.card_digest] for asked in (then, now))
        if value_digest(before) == value_digest(after):
            return True
        # Rule and reason may be worded otherwise by another policy; what is asked about may not differ.
        return bool(now.tool) and before["arguments"] == after["arguments"]

    async def _read(self, digest: str) -> Any:
        if digest not in self.payloads:
            raise NotFound(f"a payload of run {self._record.run_id} is gone")
        return self.payloads[digest]


def rests(events: Iterable[Event]) -> list[tuple[Event, Event | None]]:
    """Where a run stood still, each with what set it going again or ended it, if anything but a decision did."""
    found: list[tuple[Event, Event | None]] = []
    at_rest = False
    for event in events:
        if event.kind in STANDS and event.kind != "run.cancelled":
            found.append((event, None))
            at_rest = True
        elif event.kind == "run.opened":
            at_rest = False
        elif event.kind in ("run.continued", "run.repaired", "run.cancelled") and at_rest:  # the last of them counts
            found[-1] = (found[-1][0], event)
    return found


def _again(event: Event) -> Draft:
    return Draft(event.kind, event.time, event.position, event.fields, event.payloads)


def _environment(events: Sequence[Event]) -> Environment:
    """The model that the environment named then, as far as the calls on record tell."""
    told = [event.fields["egress"] for event in events if event.kind == "call.intent" and "egress" in event.fields]
    if not told:
        return Environment()
    return Environment(f"{told[0]['provider']}:{told[0]['model']}", f"http://{told[0]['host']}" if told[0]["host"] else None, "replayed")
