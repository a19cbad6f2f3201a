"""How a segment comes by its run: the run found, its record read, its version compared, its lease taken.

What is read first is not locked; the one statement that takes the lease compares it with what stands then, and nothing happens
where the two differ. So a run that nobody else wants is opened in one round trip.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from langgraph.types import Command
from psycopg.errors import UniqueViolation

from pointsman.acceptance import accept
from pointsman.errors import Conflict, NotFound, VersionMismatch
from pointsman.event import GENESIS, Event, Head, Row, chained
from pointsman.gateway.labelling import Reach
from pointsman.journal import MOVED, as_json, draft_event, events_from, events_of, payloads_from
from pointsman.label import Label
from pointsman.lease import Lease, Owner, claim
from pointsman.schema import Schema
from pointsman.store import Store, Transaction

FINISHED = ("done", "failed", "cancelled")
"""The states a run does not leave."""

BY = "__pointsman_by"
"""Who starts a run with an input, in LangGraph's configurable."""


@dataclass(slots=True)
class Advance:
    """What an engine gives to a segment, and what it gets back."""

    run: Mapping[str, Any]
    """How the run stood when the engine looked: a row of `standing`."""
    ended: Mapping[str, Any] | None = None
    """The run's row as the segment left it; None where the segment put no end on record."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A run in the hands of its new owner."""

    lease: Lease
    head: Head
    branch: int
    events: list[Event]
    """Its record before `run.opened`."""
    input: dict[str, Any] | None
    """Payloads of the accepted input as encoded trees, by digest, where the graph has not taken it in yet."""


async def addressed(
    owner: Owner, graph: str, schema: Schema, input: Any, place: Mapping[str, Any], labels: Mapping[str, Label]
) -> Mapping[str, Any]:
    """The run that a call of a graph means: the unfinished one of the thread, or a new one, whose input has these labels. Raises `Conflict` for what is refused from outside."""
    refuse_command(input)
    while True:
        run = await owner.store.one("thread_run", place["thread_id"]) if "thread_id" in place else None
        refuse_input(run, input)
        if input is None or isinstance(input, Command):
            assert run is not None
            return run
        after = run["run_id"] if run is not None else None
        before = Reach(labels, events_from(after, await owner.store.fetch("read_reach", after, after)) if after is not None else ())
        named = {"thread_id": place.get("thread_id"), "by": place.get(BY), "after": after}
        with contextlib.suppress(UniqueViolation):  # another input has come meanwhile
            return await accept(owner, graph, schema, input, **named, reach=before.highest)


def refuse_command(input: Any) -> None:
    """Raises `Conflict` for goto and update."""
    if isinstance(input, Command) and (input.goto or input.update is not None):
        raise Conflict(
            "goto and update are refused from outside: they would pass every check",
            undone="nothing was changed",
            remedy="`pointsman rerun RUN --node NODE --set FIELD=JSON`, or `Runs.rerun` with a patch",
        )


def refuse_input(run: Mapping[str, Any] | None, input: Any) -> None:
    """Raises `Conflict` for a new input where the run of the thread is unfinished, and for none where it is not."""
    unfinished = run is not None and run["state"] not in FINISHED
    if unfinished and run is not None and input is not None and not isinstance(input, Command):
        raise Conflict(
            f"run {run['run_id']} on this thread is {run['state']}, so a new input is refused: its open step would vanish",
            undone="the input was not taken",
            remedy=f"finish, resume or cancel it: `pointsman show {run['run_id'][:8]}`",
        )
    if not unfinished and (input is None or isinstance(input, Command)):
        raise Conflict(
            "there is no unfinished run on this thread to resume", undone="nothing was changed", remedy="start one with an input"
        )


async def take(owner: Owner, advance: Advance, graph: str, version: str) -> Taken:
    """Take the lease of a run, for `graph` in this version, and put `run.opened` on record.

    Raises `LeaseHeld`, `Conflict` for a run that has ended, `VersionMismatch` for one that began under another version.
    """
    while True:
        run_id = advance.run["run_id"]
        claimed, events = await claim(owner, advance.run), await _record(owner.store, advance.run)
        _advanceable(advance.run, graph, version)
        # The first checkpoint carries the first route: until it is on record the graph has not taken its input in.
        fresh = not any(event.kind == "route.taken" for event in events)
        branch = sum(1 for event in events if event.kind == "run.repaired")
        opened = draft_event("run.opened", owner.clock, owner=owner.name.split("|")[1], epoch=claimed.lease.epoch, version=version)
        rows, head = chained(run_id, claimed.head, branch, [opened])
        before, wanted = claimed.head, list(events[0].named("input.").values()) if fresh else []
        params = (run_id, claimed.lease.epoch, before.seq, before.hash, head.seq, head.hash, *as_json(rows, {}))
        try:
            found = await owner.store.fetch("open", *params, *claimed.params, version, wanted)
        except psycopg.Error as error:
            if error.sqlstate != MOVED:
                raise
            advance.run = await standing(owner.store, run_id)
            continue
        owner.hold(claimed.lease)
        return Taken(claimed.lease, head, branch, events, payloads_from(found) if fresh else None)


async def standing(store: Store | Transaction, run_id: str) -> Mapping[str, Any]:
    """How a run stands: its row, its head, its lease. Raises `NotFound`."""
    run = await store.one("standing", run_id)
    if run is None:
        raise NotFound(f"there is no run {run_id}", remedy="see `pointsman runs`")
    return run


def there(trees: Mapping[str, Any], digest: str, run_id: str) -> Any:
    """A payload among those that were read. Raises `NotFound`."""
    if digest not in trees:
        raise NotFound(
            f"a payload of run {run_id} is gone (erased, or lost with its row)", remedy=f"see `pointsman show {run_id[:8]} --verify`"
        )
    return trees[digest]


async def _record(store: Store, run: Mapping[str, Any]) -> list[Event]:
    """The events of a run; its row tells the only one of a run that nobody has opened."""
    if run["seq"] == 1 and run["accepted_fields"] is not None:
        first = Row(1, run["accepted_time"], 0, "", "run.accepted", run["accepted_fields"], run["accepted_payloads"], GENESIS, run["hash"])
        return [Event.of(run["run_id"], first)]
    return await events_of(store, run["run_id"])


def _advanceable(run: Mapping[str, Any], graph: str, version: str) -> None:
    if run["state"] in FINISHED:
        raise Conflict(f"run {run['run_id']} is {run['state']}", undone="it was not advanced", remedy="start a new run")
    if run["version"] not in (None, version):
        raise VersionMismatch(
            f"run {run['run_id']} began under version {run['version'][:12]} of graph {graph!r}; this is {version[:12]}",
            undone="it was not advanced",
            remedy=f"run the version it began with, or take the new one over with `pointsman rerun {run['run_id'][:8]} --node NODE`",
        )
