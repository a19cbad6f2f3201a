"""A case tried on a workflow as it is now: in memory, effects simulated, reads and models asked for real, within the workflow's own policy and limits.

A case of a node runs that node alone, on the input it had. A case of a whole run plays the run again: what it asks for as before is answered from
the record, people say what they said; what is new is asked for real.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from langgraph.graph import END, START

from pointsman import canonical
from pointsman.controlled import Controlled
from pointsman.errors import BadInput, NotFound
from pointsman.evaluation.case import Case
from pointsman.evaluation.journaled import from_record, state_of
from pointsman.evaluation.playback import Playback, Variation
from pointsman.evaluation.scorer import Score, Scorer
from pointsman.evaluation.stage import Stage
from pointsman.evaluation.trace import Call, Record
from pointsman.event import GENESIS, Draft, Event, link
from pointsman.evidence import value_digest
from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.limit import Spend
from pointsman.message import without_ids
from pointsman.workflow import Workflow

_SALT = bytes(32)
"""Of a rehearsal: it proves nothing, and its digests are to be the same each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a workflow made of a case."""

    exit: str
    """How the node ended; of a whole run, the state it came to."""
    output: Mapping[str, Any]
    """Encoded values of the fields it wrote."""
    calls: tuple[Call, ...]
    spend: Spend
    why: str = ""
    """Why it did not end, where it did not: the error that parked it."""


async def rehearse(graph: Controlled, case: Case) -> Rehearsal:
    """Try a case. Raises `BadInput` where the case is of another graph, `NotFound` where the graph has no such node any more."""
    if case.graph != graph.plan.name:
        raise BadInput(f"case {case.case_id} is of graph {case.graph!r}, and this is {graph.plan.name!r}", remedy="try it on its own graph")
    record = _accepted(case) if case.record is None else Record.of(case.record)
    stage = Stage(graph if case.node is None else alone(graph, case.node), record, Variation(miss=_asked, limits=False, live=True))
    breaches = await stage.play()
    if breaches:
        raise BadInput(
            f"case {case.case_id} went past the gateway: {breaches[0]}", remedy="make calls through ctx.call and models of pointsman"
        )
    return _told(case, stage)


def judge(case: Case, found: Rehearsal, scorer: Scorer) -> Score:
    """How good a rehearsal is by the case's label: 1 or 0 where a person rejected values, 0 for another exit, else what `scorer` says of the expected fields."""
    label = case.label
    if label.unlike:
        same = all(name in found.output and value_digest(found.output[name]) == value_digest(tree) for name, tree in label.unlike.items())
        return Score(0.0, f"{label.by or 'somebody'} rejected this: {label.reason or 'no reason given'}") if same else Score(1.0)
    if label.exit is not None and found.exit != label.exit:
        return Score(0.0, f"it ended {found.exit}{f' ({found.why})' if found.why else ''}, not {label.exit}")
    wanted, got = (
        {name: canonical.decode(without_ids(trees[name])) for name in label.output if name in trees}
        for trees in (label.output, found.output)
    )
    return scorer(wanted, got)


def alone(graph: Controlled, node: str) -> Controlled:
    """A graph of one node of `graph`, under the same policy, limits, model, prices and labels; where it leads does not matter. Raises `NotFound`."""
    flow = cast(Workflow, graph.builder)
    if node not in flow.parts:
        raise NotFound(f"graph {graph.plan.name!r} has no node {node!r}", remedy=f"its nodes: {', '.join(flow.parts)}")
    part = copy.copy(flow.parts[node])
    part.routes, part.edges = {}, ()
    same = {name: getattr(flow, name) for name in ("name", "policy", "limits", "model", "prices", "labels")}
    single = Workflow(flow.state_schema, **same)
    targets = tuple(target for target in part.targets if target != END)
    single.add_node(node, part, destinations=part.targets or None)
    for target in targets:
        single.add_node(target, _nothing)
        single.add_edge(target, END)
    single.add_edge(START, node)
    if part.exits:
        single.add_exits(node, default=END)
    elif not part.targets:
        single.add_edge(node, END)
    return single.compile()


def _nothing(_: Any) -> dict[str, Any]:
    return {}


def _accepted(case: Case) -> Record:
    """The record of a run that was accepted with the case's input, and nothing else."""
    payloads = {f"input.{name}": canonical.digest_of(tree, salt=_SALT) for name, tree in case.input.items()}
    draft = Draft("run.accepted", "2000-01-01T00:00:00.000000Z", "", {"graph": case.graph}, payloads)
    row = link(draft, run_id=case.case_id, branch=0, seq=1, prev=GENESIS)
    bodies = {payloads[f"input.{name}"]: tree for name, tree in case.input.items()}
    return Record(case.case_id, (row,), bodies, _SALT, case.contents())


def _asked(request: Request, _step: Step, _playback: Playback) -> tuple[Request, str]:
    """A call that no record answers: an effect happens to nobody and gives nothing, all else is asked for real."""
    if not request.is_effect:
        return request, "live"

    async def simulated(_key: str) -> Any:
        return None

    return replace(request, perform=simulated, probe=None), "simulated"


def _told(case: Case, stage: Stage) -> Rehearsal:
    events = stage.events
    calls = from_record(_record(stage)).calls
    spend = sum((call.spend for call in calls if call.spend is not None), Spend())
    parked = next((event for event in reversed(events) if event.kind == "run.parked"), None)
    why = stage.payloads[parked.payloads["error"]]["what"] if parked else ""
    if case.node is None:
        sealed = next((event for event in reversed(events) if event.kind == "run.sealed"), None)
        return Rehearsal(exit=state_of(events), output=_outputs(sealed, stage), calls=calls, spend=spend, why=why)
    ended = next((event for event in reversed(events) if event.kind == "step.finished" and event.position == f"{case.node}@1"), None)
    exit = str(ended.fields["exit"]) if ended else state_of(events)
    return Rehearsal(exit=exit, output=_outputs(ended, stage), calls=calls, spend=spend, why="" if ended else why)


def _record(stage: Stage) -> Record:
    """What a stage put on record, as a record: without a chain, which nobody will verify."""
    rows = tuple(
        link(
            Draft(event.kind, event.time, event.position, event.fields, event.payloads),
            run_id=event.run_id,
            branch=event.branch,
            seq=event.seq,
            prev=GENESIS,
        )
        for event in stage.events
    )
    return Record(stage.events[0].run_id, rows, stage.payloads, _SALT)


def _outputs(event: Event | None, stage: Stage) -> dict[str, Any]:
    found = event.named("output.") if event is not None else {}
    return {name: stage.payloads[digest] for name, digest in found.items()}
