"""What may stand in a graph, and the one way every step of it goes: begun, executed, its outcome checked and put on record."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp, GraphInterrupt, ParentCommand
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, Send

from pointsman.errors import BadInput, Conflict, Denied, LimitReached, PointsmanError
from pointsman.gateway import KEY, Gateway
from pointsman.gateway.position import listening, visit_of
from pointsman.gateway.step import Step
from pointsman.gateway.steps import within
from pointsman.limit import Limits
from pointsman.message import naming
from pointsman.node.bounded import bounded
from pointsman.node.declared import signature
from pointsman.node.update import changed, fields_of, handed_up, parts_of
from pointsman.policy import Policy
from pointsman.schema import Schema
from pointsman.tool import Contract, port

PLAIN_SUPERSTEPS = 10_007
"""LangGraph's own default, for plain subgraphs; a workflow brings its own bound."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a step is executed with."""

    state: Any
    config: RunnableConfig
    runtime: Runtime[Any]
    gateway: Gateway
    step: Step


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended: its update (or `Command`), its exit, why, and who decided (`code rule human model`)."""

    update: Any
    exit: str = "done"
    reason: str = ""
    decided_by: str = "code"


@dataclass(kw_only=True)
class Node:
    """A node of a workflow: what it runs, what it may read, write and call, and how it may end."""

    kind: str
    subject: Any
    """The function or graph whose code is of the node's version."""
    execute: Callable[[Given], Coroutine[Any, Any, Outcome]]
    reads: tuple[str, ...] | None = None
    """Fields it receives; None for all."""
    writes: tuple[str, ...] | None = None
    """Fields it may return; None for all."""
    tools: frozenset[str] = frozenset()
    contracts: tuple[Contract, ...] = ()
    calls: int | None = None
    """How many calls one step may make; None for as many as the limits allow."""
    exits: tuple[str, ...] = ()
    """Exits that must be routed; `limit` comes with every kind."""
    limits: Limits | None = None
    around: Limits | None = None
    """Caps of its workflow, which count where that is a node of another one."""
    model: Any = None
    """The model it speaks to: its own, else the workflow's; None for the environment's."""
    declared: Mapping[str, Any] | None = None
    code: tuple[Any, ...] = ()
    """What else is of its version: plain data, and classes and functions for their code."""
    description: str = ""
    """What an agent can be asked for, where another one calls it."""
    name: str = ""
    max_visits: int | None = None
    max_items: int | None = None
    """How many `Send`s its function may give at once; None for none."""
    routes: dict[str, str] = field(default_factory=dict)
    """Exit to target, as `add_exits` declared."""
    targets: tuple[str, ...] = ()
    """Targets its `Command`s and `Send`s may name."""
    edges: tuple[str, ...] = ()
    """Where its plain edges lead."""
    policies: tuple[Policy, ...] = ()
    version: str = ""
    schema: Schema | None = None
    """Types of the state's fields, to read recorded outputs back."""


def step_function(node: Node) -> Callable[..., Awaitable[Any]]:
    """The function that LangGraph runs for a node."""
    subject = node.subject

    async def run(state: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        assert node.subject is subject
        return await _run(node, state, config, runtime)

    # LangGraph finds subgraphs by what a function reaches, here the subject itself or what it names; but it is to inject by our own parameters.
    if inspect.isroutine(subject):
        run.__wrapped__ = subject  # type: ignore[attr-defined]
    setattr(run, "__signature__", signature("state", "config", "runtime"))  # noqa: B010 - functions have no such attribute to a type checker
    run.__name__ = node.name
    run.__annotations__ = {}
    return run


async def _run(node: Node, state: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
    gateway: Gateway = config["configurable"][KEY]
    node = gateway.source.node(node)
    # Graphs that the body runs inherit this config; the bound on our supersteps is not theirs.
    config["recursion_limit"] = PLAIN_SUPERSTEPS
    # Nor are their steps announced by us; hearing of them here, and not of every step of the run, costs nothing where a body runs no graph.
    listening(config, gateway.steps.positions)
    step = await _begin(node, state, config, runtime, gateway)
    if node.max_visits is not None and visit_of(step.position) > node.max_visits:
        what = f"{node.name} was visited {node.max_visits} times, its max_visits"
        if "limit" not in node.routes:
            raise LimitReached(what, step=step.position, undone="the step was not begun", remedy="route its exit: add_exits(node, limit=…)")
        return _finish(node, step, gateway, Outcome({}, exit="limit", reason=what, decided_by="rule"))
    kept = await _kept_output(node, step, gateway)
    if kept is not None:
        step.kept = True
        return _finish(node, step, gateway, kept)
    given = Given(_narrow(node, state), config, runtime, gateway, step)
    before, around = port.set(gateway), within.set(step.ns)
    try:
        return _finish(node, step, gateway, await _executed(node, given))
    except GraphBubbleUp:
        raise
    except Exception as error:
        gateway.steps.failed(step, error)
        raise
    finally:
        step.over = True
        within.reset(around)
        port.reset(before)


async def _executed(node: Node, given: Given) -> Outcome:
    step = given.step
    try:
        outcome = await bounded(node.execute(given), given.gateway, step)
    except (Denied, LimitReached) as error:
        step.stop()
        exit = "limit" if isinstance(error, LimitReached) else "denied"
        if exit not in node.routes:
            raise
        return Outcome({}, exit=exit, reason=error.what, decided_by="rule")
    except GraphInterrupt as error:
        if given.gateway.steps.waits(step):
            raise
        raise Conflict(
            f"node {node.name} stopped by LangGraph's interrupt(), whose answer would be bound to nothing",
            step=step.position,
            undone="nobody was asked",
            remedy="let the policy ask about a call, or use a node that asks a question",
        ) from error
    except ParentCommand as told:
        outcome = Outcome(handed_up(told.args[0], node.name, step, may_lead=not node.exits))
    except GraphBubbleUp:
        raise
    except Exception:
        step.stop()
        raise
    # What the body did with a question or a lost lease does not matter: the step ends by it.
    given.gateway.steps.check(step)
    return outcome


async def _begin(node: Node, state: Any, config: RunnableConfig, runtime: Runtime[Any], gateway: Gateway) -> Step:
    place = gateway.steps.positions.place(config["metadata"])
    attempt = runtime.execution_info.node_attempt if runtime.execution_info else 1
    policies = gateway.steps.policies(place, node.policies)
    account = gateway.steps.account(place, node.limits, node.around)
    step = Step(place, gateway.steps.attempt(attempt), account, policies, node.tools, node.calls)
    gateway.steps.begin(step)
    gateway.journal.drop(place.task)
    shown = fields_of(_narrow(node, state))
    payloads = {f"input.{name}": gateway.journal.payload(value) for name, value in shown.items()}
    checkpoint = runtime.execution_info.checkpoint_id if runtime.execution_info else ""
    fields = {
        "ns": place.ns,
        "node": node.name,
        "superstep": place.superstep,
        "attempt": step.attempt,
        "version": node.version,
        "checkpoint": checkpoint,
    }
    step.inputs = payloads
    await gateway.ready()
    gateway.journal.note(gateway.journal.draft("step.started", place.position, payloads=payloads, **fields))
    return step


def _narrow(node: Node, state: Any) -> Any:
    if node.reads is None:
        return state
    fields = fields_of(state)
    return {name: fields[name] for name in node.reads if name in fields}


def _finish(node: Node, step: Step, gateway: Gateway, outcome: Outcome) -> Any:
    """Check what the step returned, note its end, and give LangGraph the update."""
    written = _named(node, step, gateway, outcome.update)
    update, gotos = parts_of(written)
    _check_writes(node, step, update)
    _check_targets(node, step, gotos)
    step.exit, step.reason, step.decided_by = outcome.exit, outcome.reason or str(update.get("reason") or ""), outcome.decided_by
    journal = gateway.journal
    payloads = {f"output.{name}": journal.payload(value) for name, value in update.items()}
    names = [target for target in gotos if isinstance(target, str)]
    several = len(names) < len(gotos) or isinstance(written, list | tuple) or any(isinstance(value, Overwrite) for value in update.values())
    fields = {"exit": outcome.exit, "goto": names or None, "sends": several or None, "kept": step.kept or None}
    journal.hold(step.place.task, journal.draft("step.finished", step.position, payloads=payloads, **fields))
    if gotos:
        gateway.route(step, [target.node if isinstance(target, Send) else target for target in gotos])
    elif node.edges and not node.routes:
        gateway.route(step, list(node.edges))
    return written


def _named(node: Node, step: Step, gateway: Gateway, update: Any) -> Any:
    """The update, its messages under ids of this step where they have none."""
    merged = node.schema.merged if node.schema is not None else frozenset()
    if not merged:
        return update
    named = naming(f"{gateway.journal.run_id}\n{step.position}")
    return changed(update, lambda name, value: named(value) if name in merged and not isinstance(value, Overwrite) else value)


def _check_targets(node: Node, step: Step, gotos: Sequence[Any]) -> None:
    for target in gotos:
        name = target.node if isinstance(target, Send) else target
        if name not in node.targets:
            raise BadInput(
                f"node {node.name} sent the run to {name!r}, which it does not declare",
                step=step.position,
                undone="the run did not go there",
                remedy="declare targets: `-> Command[Literal[…]]`, or add_node(…, destinations=(…,))",
            )
    items = sum(1 for target in gotos if isinstance(target, Send))
    if items > (node.max_items or 0):
        bound = "it says no bound" if node.max_items is None else f"its max_items is {node.max_items}"
        raise BadInput(
            f"node {node.name} sent {items} items at once, where {bound}",
            step=step.position,
            undone="none of them was begun",
            remedy="give its add_node max_items=, or send fewer",
        )


def _check_writes(node: Node, step: Step, update: Mapping[str, Any]) -> None:
    foreign = [name for name in update if node.writes is not None and name not in node.writes and name != "reason"]
    if foreign:
        raise BadInput(
            f"node {node.name} returned {', '.join(foreign)}, which it does not declare in writes=",
            step=step.position,
            undone="the update was not taken",
        )


async def _kept_output(node: Node, step: Step, gateway: Gateway) -> Outcome | None:
    """In a rerun: the recorded output of a step at this position that had the same input and the same code; None where it must run."""
    if not gateway.journal.branch or gateway.reruns(step) or node.schema is None:
        return None
    finished, started = gateway.tape.outputs.get(step.position), gateway.tape.inputs.get(step.position)
    if finished is None or started is None or finished.branch == gateway.journal.branch or "sends" in finished.fields:
        return None
    if started.fields.get("version") != node.version or dict(started.payloads) != step.inputs:
        return None
    update: dict[str, Any] = {}
    for name, digest in finished.payloads.items():
        field_name = name.removeprefix("output.")
        try:
            update[field_name] = node.schema.revive(field_name, await gateway.payload(digest))
        except (PointsmanError, ValueError):
            return None
    goto, route = finished.fields.get("goto"), gateway.tape.routes.get(step.position)
    reason = await gateway.payload(route.payloads["reason"]) if route is not None and "reason" in route.payloads else ""
    by = route.fields["by"] if route is not None else "code"
    return Outcome(Command(update=update, goto=goto) if goto else update, finished.fields["exit"], reason, by)
