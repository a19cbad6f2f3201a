"""A workflow: LangGraph's `StateGraph` whose nodes have kinds and exits, checked when it is compiled, controlled when it runs."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self, get_type_hints

from langgraph.graph import START, StateGraph

from pointsman import canonical
from pointsman.check import Shape, code_digest, supersteps, unsound
from pointsman.check.labels import lost
from pointsman.check.place import placed, settle
from pointsman.check.structure import reachable
from pointsman.controlled import RERUN, Controlled
from pointsman.errors import BadInput, UnsafeGraph
from pointsman.gateway.rules import Rules
from pointsman.guard import Guard
from pointsman.label import Label, checked
from pointsman.limit import Limits
from pointsman.model import check as check_model
from pointsman.model import model_data
from pointsman.node import Node, step_function
from pointsman.node.code import code
from pointsman.node.declared import command_targets, input_schema, literals, sends
from pointsman.node.guarded import guarded
from pointsman.node.routing import end, exits, nothing, router
from pointsman.policy import Policy
from pointsman.policy.lint import PolicyWarning, lint
from pointsman.price import Price
from pointsman.schema import Schema
from pointsman.segment import Plan

FAILED = "failed"
"""A target that ends the run as failed, with the reason of the step that led there."""

QUARANTINED = "quarantined"
"""As FAILED, where the input was at fault."""


class Workflow(StateGraph[Any, Any, Any, Any]):
    """A graph under control. `add_node`, `add_edge`, `add_conditional_edges` and `compile` mean what they mean in LangGraph.

    `policy` decides on calls, `limits` cap the whole run; `model` (`"openai:NAME"` or a LangChain chat model) is for nodes that name none;
    `prices` are `{"openai:NAME": Price(…)}` for models that have no list price or another one; `labels` say by field, or by dotted path into one, who
    vouches for a run's input and how far it may travel; `guards` stand around each node; with `exploratory` the findings of the check are warnings.
    """

    def __init__(
        self,
        state_schema: type[Any],
        *,
        name: str = "workflow",
        policy: Policy | None = None,
        limits: Limits | None = None,
        model: Any = None,
        prices: Mapping[str, Price] | None = None,
        labels: Mapping[str, Label] | None = None,
        guards: tuple[Guard, ...] = (),
        exploratory: bool = False,
        **schemas: Any,
    ) -> None:
        super().__init__(state_schema, **schemas)
        self.name = name
        self.policy = policy or Policy()
        self.limits = limits or Limits()
        check_model(model)
        self.model = model
        self.prices = dict(prices or {})
        self.labels = {path: checked(label, f"input {path!r}") for path, label in (labels or {}).items()}
        self.guards = guards
        self.exploratory = exploratory
        self.parts: dict[str, Node] = {}
        self._guards: dict[str, tuple[Guard, ...]] = {}
        self._first: list[str] = []
        """Where the graph begins, as declared: LangGraph keeps its edges in a set, whose order is another in each process."""
        self._routers: list[Callable[..., Any]] = []
        self._branches: dict[str, list[str]] = {}
        self._choosers: dict[str, list[tuple[Callable[..., Any], dict[Any, str]]]] = {}
        self._undeclared: list[str] = []
        self._handlers: dict[str, tuple[str, ...]] = {}
        self._senders: list[tuple[str, int | None]] = []
        """What sends, and how much at most at once."""

    def add_node(
        self, node: Any, action: Any = None, *, max_visits: int | None = None, max_items: int | None = None, guards: tuple[Guard, ...] = (),
        **options: Any,
    ) -> Self:  # fmt: skip
        """Add a node: a name with a kind (`effect(…)`, `code(…)`), a plain function, or a compiled graph.

        `max_visits` bounds how often a run may come by, `max_items` how many `Send`s a `Command` of its function may give at once.
        `guards` examine what it receives and writes, and the calls made in it, after those of the workflow.
        """
        if not isinstance(node, str):
            node, action = getattr(node, "name", "") or getattr(node, "__name__", ""), node
        if not node.isprintable() or node in (FAILED, QUARANTINED, RERUN) or any(sign in node for sign in "/@#+"):
            raise BadInput(
                f"a node cannot be named {node!r}", remedy="use a printable name without / @ # + other than failed and quarantined"
            )
        self._guards[node] = tuple(dict.fromkeys((*self.guards, *guards)))
        part = guarded(action if isinstance(action, Node) else code(action), self._guards[node])
        part.name, part.max_visits, part.policies, part.around = node, max_visits, (self.policy,), self.limits
        part.max_items = self._most(max_items)
        if part.kind == "code" and (max_items is not None or sends(part.subject)):
            self._senders.append((node, max_items))
        part.model = self.model if part.model is None else part.model
        declared = options.pop("destinations", None)
        part.targets = tuple(declared) if declared is not None else command_targets(part.subject) if part.kind == "code" else ()
        options.setdefault("input_schema", input_schema(part.subject) if part.kind == "code" else None)
        options["metadata"] = {**(options.get("metadata") or {}), "kind": part.kind}
        self.parts[node] = part
        handler = options.get("error_handler")
        if handler is not None:
            self._handlers[node] = command_targets(handler)
            self._routers.append(handler)
        return super().add_node(node, step_function(part), destinations=declared or part.targets, **options)

    def add_edge(self, start_key: str | list[str], end_key: str) -> Self:
        """Add an edge, as in LangGraph. From a node with exits it is refused when the graph is compiled."""
        for start in [start_key] if isinstance(start_key, str) else start_key:
            if start in self.parts:
                self.parts[start].edges += (end_key,)
            elif start == START:
                self._first.append(end_key)
        return super().add_edge(start_key, self._ensured(end_key))

    def add_exits(self, node: str, *, default: str | None = None, **routes: str) -> Self:
        """Say where a node's exits lead, by the name of each exit; `default` takes those that are not named."""
        if node not in self.parts:
            raise BadInput(f"there is no node {node!r} to route", remedy="add the node first")
        part = self.parts[node]
        part.routes = {exit: self._ensured(target) for exit, target in routes.items()}
        if default is not None:
            for exit in (*part.exits, "limit"):
                part.routes.setdefault(exit, self._ensured(default))
        return self

    def add_conditional_edges(self, source: str, path: Any, path_map: Any = None, *, max_items: int | None = None) -> Self:
        """Add edges that `path` chooses among the targets of `path_map`; `max_items` bounds how many `Send`s it may give at once."""
        function = path.func if hasattr(path, "func") and not inspect.isroutine(path) else path
        declared = dict(path_map) if isinstance(path_map, Mapping) else {name: name for name in path_map or literals(function)}
        if not declared:
            self._undeclared.append(source)
        for target in declared.values():
            self._ensured(target)
        if max_items is not None or sends(function):
            self._senders.append((source, max_items))
        self._routers.append(function)
        self._branches.setdefault(source, []).extend(declared.values())
        choose = router(path, declared, self._most(max_items))
        choose.__name__ = (
            f"{getattr(function, '__name__', 'condition').strip('<>')}{len(self._branches[source]) if source in self.branches else ''}"
        )
        self._choosers.setdefault(source, []).append((choose, declared))
        return super().add_conditional_edges(source, choose, declared or None)

    def _most(self, max_items: int | None) -> int | None:
        return sys.maxsize if max_items is None and self.exploratory else max_items

    def compile(self, checkpointer: Any = None, **options: Any) -> Controlled:
        """Check the graph and make it runnable. Raises `UnsafeGraph` with every finding.

        Runs are checkpointed in the project's own PostgreSQL; a `checkpointer` given here is not used.
        """
        if checkpointer not in (None, True, False):
            warnings.warn(
                f"workflow {self.name!r} keeps its checkpoints in the project's PostgreSQL; the checkpointer given is not used",
                stacklevel=2,
            )
            checkpointer = None
        shape = self._shape()
        own = {contract.name: contract.effect for part in self.parts.values() for one in part.contracts for contract in one.family()}
        findings = unsound(shape) + self._blind_guards() + self._foreign_fields()
        findings += [f"policy, {fault}" for fault in lint(self.policy, tools=own) if fault.wrong]
        self._refuse(findings)
        self._wire()
        plan = self._plan(shape)
        compiled = super().compile(checkpointer=checkpointer, name=options.pop("name", None) or self.name, **options)
        attributes = {key: value for key, value in vars(compiled).items() if key != "__orig_class__"}
        controlled = Controlled(plan=plan, **attributes)
        below = [getattr(graph, "builder", None) for _, graph in controlled.get_subgraphs(recurse=True)]
        self._refuse(lost(self.name, self.labels, self.channels, below))
        for odd in lint(
            self.policy
        ):  # tools and roles that there are not may yet come: `Controlled.lint` and `pointsman check` look them up
            warnings.warn(f"{self.name}: policy, {odd}", PolicyWarning, stacklevel=2)
        declared = [Schema(builder.state_schema).classes() for builder in below if builder is not None]
        classes = {*plan.schema.classes(), *(cls for classes in declared for cls in classes)}
        controlled.plan = replace(plan, classes=tuple(sorted({*classes, *settle(classes)})))
        return controlled

    def _refuse(self, findings: list[str]) -> None:
        """Refuse the graph for what was found; an exploratory one is warned of it."""
        if findings and not self.exploratory:
            raise UnsafeGraph(self.name, findings)
        for told in findings:
            warnings.warn(f"{self.name}: {told}", stacklevel=3)

    def _ensured(self, target: str) -> str:
        """Add one of the ends that fail a run, where something leads there."""
        if target in (FAILED, QUARANTINED) and target not in self.nodes:
            super().add_node(target, end(target))
        return target

    def _blind_guards(self) -> list[str]:
        """Guards that look at fields which the state does not have."""
        fields = Schema(self.state_schema).types.keys()
        return [
            f"{node}: guard {each.name} looks at {', '.join(sorted(each.takes.keys() - fields))}, which the state does not have"
            for node, guards in self._guards.items()
            for each in guards
            if each.on in ("input", "output") and not each.takes.keys() <= fields
        ]

    def _foreign_fields(self) -> list[str]:
        """Fields that nodes write or read and no state has: LangGraph would drop them without a word, the receipt of an effect too, and a node would wait for a value in vain."""
        known = {*self.channels, *self.managed}
        named = [("input", "labels", "labels=", tuple(path.partition(".")[0] for path in self.labels))]
        for name, part in self.parts.items():
            seen = "shows=" if part.kind == "question" else "reads="
            named += [(name, "writes", "writes=", part.writes or ()), (name, "reads", seen, part.reads or ())]
        return [
            f"{name}: {verb} {', '.join(foreign)}, which the state does not have; add it to the state, or mend {where}"
            for name, verb, where, fields in named
            if (foreign := sorted({*fields} - known))
        ]

    def _wire(self) -> None:
        """Turn exits into conditional edges; plain edges of a node with exits are taken where none of them was."""
        if RERUN not in self.nodes:
            super().add_node(RERUN, nothing)
        for name, part in self.parts.items():
            if part.routes and "exits" not in self.branches.get(name, {}):
                self.edges -= {(name, target) for target in part.edges}
                arrows: dict[Any, str] = {**part.routes, **{f"to {end}": end for end in part.edges}}
                chosen = self._choosers.get(name, [])
                # LangGraph asks each router in a chain of its own; one that alone goes on where no exit was taken is asked by that of the exits.
                alone = len(chosen) == 1 and bool(chosen[0][1]) and not part.edges and not arrows.keys() & chosen[0][1].keys()
                if alone:
                    self.branches[name].clear()
                    arrows |= chosen[0][1]
                super().add_conditional_edges(name, exits(part, chosen[0][0] if alone else None), arrows)

    def _shape(self) -> Shape:
        arrows: dict[str, list[str]] = {START: [*self._first, *self._branches.get(START, [])]}
        for name, part in self.parts.items():
            arrows[name] = [*part.edges, *part.targets, *part.routes.values(), *self._branches.get(name, [])]
            handler = self.nodes[name].error_handler_node
            if handler:
                arrows[name].append(handler)
                arrows[handler] = list(self._handlers.get(name, ()))
        unique = {name: tuple(dict.fromkeys(targets)) for name, targets in arrows.items()}
        ends = frozenset(name for name in self.nodes if name not in self.parts)
        return Shape(self.name, self.parts, unique, tuple(self._undeclared), tuple(self._senders), ends)

    def _plan(self, shape: Shape) -> Plan:
        schema = Schema(self.state_schema)
        for part in self.parts.values():
            part.schema = schema
            part.version = canonical.digest(
                [
                    part.kind,
                    code_digest(part.subject),
                    [
                        [contract.data(), *map(code_digest, filter(None, (contract.function, contract.reconcile)))]
                        for one in part.contracts
                        for contract in one.family()
                    ],
                    list(part.reads or ()),
                    list(part.writes or ()),
                    *([dict(part.declared), model_data(part.model)] if part.declared is not None else []),
                    *map(code_digest, part.code),
                    *([guard.data(), code_digest(guard.function)] for guard in self._guards[part.name]),
                ]
            )
        modules = {module for module, _ in schema.classes()}
        facts = {
            "nodes": {
                name: [part.version, part.max_visits, dict(part.routes), part.calls, (part.limits or Limits()).data()]
                for name, part in self.parts.items()
            },
            "items": sorted([source, bound or 0] for source, bound in self._senders),
            "edges": {name: list(targets) for name, targets in shape.arrows.items()},
            "routers": [code_digest(router) for router in self._routers],
            "policy": self.policy.data(),
            "limits": self.limits.data(),
            "state": {name: placed(repr(hint), modules) for name, hint in schema.types.items()},
        }
        facts |= {"labels": {path: str(label) for path, label in self.labels.items()}} if self.labels else {}
        facts |= {"prices": {name: price.data() for name, price in self.prices.items()}} if self.prices else {}
        rules = Rules(self.policy, self.limits, canonical.digest(facts), prices=self.prices, labels=self.labels)
        descendants = {name: tuple(sorted(reachable(shape, name) & set(self.parts))) for name in self.parts}
        return Plan(
            self.name, rules, supersteps(shape), schema, tuple(get_type_hints(self.output_schema)), shape.arrows[START], descendants
        )
