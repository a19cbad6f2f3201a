"""Repair: going on from one node of a run with a patched state, repeating nothing that was done.

A rerun is a fork of the checkpoint that the node began from. It is committed before any node runs, with the patch and the reason
on record, as an update that leads to every node and `Send` that was pending there, so siblings are not lost. Steps with unchanged
input and code give their recorded output; finished calls are given back by position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.channels import BinaryOperatorAggregate
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command, Overwrite, Send
from psycopg.errors import UniqueViolation
from pydantic import ValidationError

from pointsman import canonical
from pointsman.approval import Approvals, expired
from pointsman.controlled import RERUN, Controlled
from pointsman.errors import BadInput, Conflict, LeaseHeld, NotFound
from pointsman.event import Event
from pointsman.journal import MOVED, Journal, events_of
from pointsman.lease import Owner, claim
from pointsman.opening import standing
from pointsman.principal import check_name
from pointsman.schema import faults as schema_faults
from pointsman.store.saver import RunSaver

_PENDING = "__pregel_tasks"
"""LangGraph's channel of `Send`s that wait to be executed."""


async def fork(owner: Owner, graph: Controlled, run_id: str, *, node: str, patch: Mapping[str, Any], by: str, reason: str) -> None:
    """Commit the fork that a rerun goes on from: `node` is a name (its last visit) or a position.

    The run takes the present version of its graph. Raises `NotFound`, `BadInput`, `Conflict`, `LeaseHeld`; then nothing was written.
    """
    check_name(by, "nothing was forked")
    checked = _checked(graph, patch)
    row = await standing(owner.store, run_id)
    if row["state"] in ("accepted", "cancelled"):
        remedy = "a rerun needs a run that began and was not cancelled"
        raise Conflict(f"run {run_id} is {row['state']}", undone="nothing was forked", remedy=remedy)
    claimed, events = await claim(owner, row), await events_of(owner.store, run_id)
    lease, head = claimed.lease, claimed.head
    undone = next((event for event in events if event.kind == "run.compensated"), None)
    if undone is not None:  # its effects would be given again as if they stood, and what it did from now on would never be undone
        what = f"run {run_id} was undone by run {undone.fields['run'][:8]}"
        raise Conflict(what, undone="nothing was forked", remedy="start a new run")
    started, positions = _origin(events, node)
    branch = sum(1 for event in events if event.kind == "run.repaired") + 1
    journal = Journal(owner.store, run_id, epoch=lease.epoch, head=head, salt=row["salt"], branch=branch, clock=owner.clock)
    journal.claim = ("claim", (run_id, lease.epoch, head.seq, head.hash, *claimed.params))
    payloads = {f"patch.{name}": journal.payload(value) for name, value in checked.items()}
    payloads |= {"reason": journal.payload(reason)} if reason else {}
    version, superstep = graph.plan.rules.version, started.fields["superstep"] - 1
    facts = {"by": by, "positions": positions, "superstep": superstep, "version": version, "epoch": lease.epoch}
    journal.note(journal.draft("run.repaired", started.position, payloads=payloads, **facts))
    journal.attached = [("open_run", (version, run_id)), ("release", (run_id, lease.epoch))]
    for approval in Approvals(events).open():  # what still has to be asked is asked anew, about what it is then
        journal.note(journal.draft("ask.expired", approval.position, approval=approval.approval_id))
        journal.attached.append(expired(approval))
    saver = RunSaver(owner.store, journal.save, journal.patiently, JsonPlusSerializer(allowed_msgpack_modules=graph.plan.classes))
    try:
        await commit(graph, saver, row["thread_id"], started.fields["checkpoint"], checked)
        await journal.saved()
    except UniqueViolation as error:
        raise Conflict(
            f"another run on the thread of run {run_id} is unfinished: both would go on from each other's state",
            undone="nothing was forked",
            remedy="finish or cancel that one first, `pointsman runs` lists it",
        ) from error
    except psycopg.Error as error:
        if error.sqlstate != MOVED:
            raise
        raise LeaseHeld(f"run {run_id} has just gone on", undone="nothing was forked", remedy="look at it again") from error


async def commit(graph: Controlled, saver: BaseCheckpointSaver[Any], thread_id: str, checkpoint: str, patch: Mapping[str, Any]) -> None:
    """Save the patched copy of a checkpoint, leading to every node and `Send` that was pending there, together with what its journal has noted."""
    place: RunnableConfig = {
        "configurable": {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint, "__pregel_checkpointer": saver}
    }
    base = await saver.aget_tuple(place)
    if base is None:
        raise NotFound("the checkpoint that the node began from is gone", undone="nothing was forked", remedy="rerun from an earlier node")
    snapshot = await graph.aget_state(place)
    sends = [send for send in base.checkpoint["channel_values"].get(_PENDING, ()) if isinstance(send, Send)]
    pulled = list(dict.fromkeys(task.name for task in snapshot.tasks if task.path and task.path[0] != "__pregel_push"))
    update = {
        name: Overwrite(value) if isinstance(graph.channels[name], BinaryOperatorAggregate) else value for name, value in patch.items()
    }
    await graph.aupdate_state(place, Command(update=update, goto=[*pulled, *sends]), as_node=RERUN)


def _origin(events: list[Event], node: str) -> tuple[Event, list[str]]:
    """Where the root-level step of a node (or position) began last, and the positions that the rerun is to execute again."""
    started = [event for event in events if event.kind == "step.started"]
    matching = [event for event in started if event.position == node] or [event for event in started if event.fields["node"] == node]
    if not matching:
        known = ", ".join(dict.fromkeys(event.fields["node"] for event in started)) or "none"
        raise NotFound(f"no step of node {node!r} is on record", undone="nothing was forked", remedy=f"nodes that began: {known}")
    wanted = matching[-1].position
    root = wanted.split("/")[0].partition("+")[0]
    levels = wanted.split("/")
    positions = [
        "/".join(levels[:depth]).partition("+")[0] if depth == 1 else "/".join(levels[:depth]) for depth in range(1, len(levels) + 1)
    ]
    if node == matching[-1].fields["node"] and "#" in root:  # every item of that fan-out, unless one of them is named
        visit = root.partition("#")[0]
        positions = sorted({event.position for event in started if event.position.partition("#")[0] == visit})
    origin = next(event for event in reversed(started) if event.position == root)
    return origin, positions


def _checked(graph: Controlled, patch: Mapping[str, Any]) -> dict[str, Any]:
    schema = graph.plan.schema
    unknown = [name for name in patch if name not in schema.types]
    if unknown:
        raise BadInput(
            f"the state has no field {', '.join(unknown)}", undone="nothing was forked", remedy=f"fields: {', '.join(schema.types)}"
        )
    checked: dict[str, Any] = {}
    faults: list[str] = []
    for name, value in patch.items():
        try:
            checked[name] = schema.revive(name, canonical.encode(value))
        except ValidationError as error:
            faults += schema_faults(name, error)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise BadInput(
            f"the patch does not fit the state: {'; '.join(faults)}", undone="nothing was forked", remedy="give values of the fields' types"
        )
    return checked
