"""Undoing what a run did: its finished effects in reverse order, each by the tool that its contract names for that.

A compensation is a run of its own, of a workflow that is made from the first one: same policies, same limits, own record. So each undoing is an effect
call like any other, judged (in the node `compensate`), asked about, under a key; what is undone stays undone when the process dies, and a run is
compensated once. One that cannot be undone ends it there: what happened before that one stays, until `rerun` goes on with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from langgraph.graph import END, START
from typing_extensions import TypedDict

from pointsman import canonical
from pointsman.acceptance import accept
from pointsman.controlled import Controlled
from pointsman.errors import BadInput, Conflict, Denied, Expired, LimitReached, NotFound, PointsmanError, Rejected
from pointsman.event import Event
from pointsman.gateway.labelling import Reach
from pointsman.gateway.tape import Recorded, Tape
from pointsman.journal import draft_event, payloads_of
from pointsman.lease import Owner, claim
from pointsman.node import Given, Node, Outcome
from pointsman.opening import FINISHED, standing
from pointsman.outside import locked
from pointsman.policy import Policy
from pointsman.principal import check_name
from pointsman.tool import WORLD_UNCHANGED, Contract
from pointsman.workflow import FAILED, Workflow

SUFFIX = ".compensation"
"""What the name of a graph's compensation ends with; a run of it has the id of the run that it undoes for its key."""

_EXITS: dict[type[PointsmanError], str] = {Denied: "denied", Rejected: "rejected", Expired: "expired", LimitReached: "limit"}
"""How a compensation ends at an effect that is not undone."""


class Undoing(TypedDict, total=False):
    """The state of a compensation."""

    run: str
    """The run whose effects are undone."""
    why: str
    effects: list[dict[str, Any]]
    """`{tool, call, position, arguments, result}` each, the last one first."""
    left: list[str]
    """Tools whose effects nothing undoes."""
    undone: list[str]
    """Calls that are undone."""


@cache
def compensation_of(graph: Controlled) -> Controlled:
    """The workflow that undoes what runs of `graph` did. Raises `NotFound` where no tool of it says how."""
    contracts = {contract.name: contract for contract in _contracts(graph) if contract.compensate is not None}
    if not contracts:
        raise NotFound(f"no tool of graph {graph.plan.name!r} says what undoes it", remedy="declare it: @tool(effect=…, compensate=TOOL)")
    undoing = tuple({contract.name: contract for one in contracts.values() if (contract := one.compensate) is not None}.values())

    async def execute(given: Given) -> Outcome:
        undone: list[str] = []
        for effect in given.state["effects"]:
            by = contracts[effect["tool"]].compensate
            assert by is not None
            given.step.policies = _policies(graph, effect["position"])
            try:
                await given.gateway.call_tool(by, by.share({**effect["arguments"], "result": effect["result"]}))
            except tuple(_EXITS) as error:
                reason = f"{effect['tool']} (call {effect['call']}) is not undone: {error.what}"
                by_whom = "human" if isinstance(error, Rejected | Expired) else "rule"
                exit = next(exit for kind, exit in _EXITS.items() if isinstance(error, kind))
                return Outcome({"undone": undone}, exit=exit, reason=reason, decided_by=by_whom)
            undone.append(effect["call"])
        return Outcome({"undone": undone})

    builder = graph.builder
    assert isinstance(builder, Workflow)
    # Guards of what a node of the first graph receives or writes have nothing here to look at; those of calls do.
    guards = tuple(guard for guard in builder.guards if guard.on in ("arguments", "result"))
    flow = Workflow(Undoing, name=f"{graph.plan.name}{SUFFIX}", policy=builder.policy, limits=builder.limits, guards=guards)
    node = Node(
        kind="compensation", subject=compensation_of, execute=execute, writes=("undone",), tools=frozenset(by.name for by in undoing),
        contracts=undoing, exits=("done", "denied", "rejected", "expired"),
    )  # fmt: skip
    flow.add_node("compensate", node)
    flow.add_edge(START, "compensate")
    flow.add_exits("compensate", done=END, default=FAILED)
    return flow.compile()


async def begun(owner: Owner, graph: Controlled, run_id: str, *, by: str, reason: str) -> Mapping[str, Any]:
    """How the compensation of a run of `graph` stands: accepted now, or before. Raises `BadInput` where nobody is named, `Conflict`, `LeaseHeld` where it must not begin, or has nothing to undo.

    That it was begun goes on the record of the run that it undoes, in the same commit: neither can be without the other, and a rerun finds it.
    """
    check_name(by, "nothing was undone")
    plan = compensation_of(graph).plan
    async with locked(owner, run_id) as run:
        if run.row["state"] not in FINISHED:
            raise Conflict(
                f"run {run_id} is {run.row['state']}: it could go on and do more",
                undone="nothing was undone",
                remedy=f"`pointsman cancel {run_id[:8]}` first",
            )
        events = await run.events()
        begun_before = next((event for event in events if event.kind == "run.compensated"), None)
        if begun_before is not None:
            return await standing(run.tx, begun_before.fields["run"])
        await claim(owner, await standing(run.tx, run_id))  # not taken: it says whether somebody still has the run
        given = _undoing(graph, run_id, events, await payloads_of(run.tx, run_id), reason)
        reach = Reach(graph.plan.rules.labels, events).highest
        row = await accept(owner, plan.name, plan.schema, given, key=run_id, by=by, reach=reach, within=run.tx)
        payloads = {"reason": await run.keep(reason)} if reason else {}
        await run.append(draft_event("run.compensated", owner.clock, payloads=payloads, run=row["run_id"], by=by))
        return row


def _undoing(graph: Controlled, run_id: str, events: list[Event], payloads: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """What a compensation of a run begins with. Raises `Conflict` where it has nothing to undo, or that is not known."""
    calls = [call for call in Tape(events).all() if call.effect not in WORLD_UNCHANGED]
    open_ = [call for call in calls if call.in_doubt]
    if open_:
        raise Conflict(
            f"whether {open_[0].target} happened is not known",
            undone="nothing was undone",
            remedy=f"find out, then `pointsman answer {open_[0].call} --run {run_id[:8]}`",
        )
    done = sorted(
        (call for call in calls if call.outcome == "done" and "given" not in call.fields), key=lambda call: call.ended or 0, reverse=True
    )
    known = {contract.name for contract in _contracts(graph) if contract.compensate is not None}
    effects = [_effect(call, payloads) for call in done if call.target in known]
    if not effects:
        did = ", ".join(call.target for call in done) or "none"
        raise Conflict(
            f"run {run_id} did nothing that a tool undoes (effects: {did})",
            undone="nothing",
            remedy="say what undoes one: @tool(compensate=TOOL)",
        )
    left = [f"{call.target} (call {call.call})" for call in done if call.target not in known]
    return {"run": run_id, "why": reason, "effects": effects, "left": left}


def _effect(call: Recorded, payloads: Mapping[str, Any]) -> dict[str, Any]:
    try:
        arguments, result = (canonical.decode(payloads[call.payloads[name]]) for name in ("request", "result"))
    except KeyError as error:
        raise BadInput(f"what {call.target} was called with is gone (erased)", undone="nothing was undone") from error
    return {"tool": call.target, "call": call.call, "position": call.position, "arguments": arguments, "result": result}


def _policies(graph: Controlled, position: str) -> tuple[Policy, ...]:
    """The policies that had to let the call at a position pass: of its workflow and of those around it. What undoes it needs the same."""
    found: list[Policy] = [graph.plan.rules.policy]
    builder: Any = graph.builder
    for level in position.split("/"):
        part = getattr(builder, "parts", {}).get(level.partition("@")[0])
        if part is None:
            break
        found += part.policies
        builder = getattr(part.subject, "builder", None)
    return tuple(dict.fromkeys(found))


def _contracts(graph: Controlled) -> Iterator[Contract]:
    """The contracts of a graph and of the workflows in it."""
    for part in getattr(graph.builder, "parts", {}).values():
        yield from part.contracts
        if isinstance(part.subject, Controlled):
            yield from _contracts(part.subject)
