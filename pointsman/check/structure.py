"""The structural check: every node reachable, every exit routed, every cycle bounded, every target declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from langgraph.graph import END, START

from pointsman.node import Node


@dataclass(frozen=True, slots=True)
class Shape:
    """A graph as the check sees it: nodes, and where each can lead."""

    name: str
    nodes: Mapping[str, Node]
    arrows: Mapping[str, tuple[str, ...]]
    """Declared targets of each node and of START."""
    undeclared: tuple[str, ...] = ()
    """Sources of conditional edges without a path map."""
    senders: tuple[tuple[str, int | None], ...] = ()
    """Nodes and sources of edges that send, and how much at most at once; None where they do not say."""
    terminals: frozenset[str] = field(default_factory=frozenset)


def unsound(shape: Shape) -> list[str]:
    """Everything that makes the graph unsafe, a sentence each, with what to do."""
    findings = [
        f"{source}: its conditional edges do not say where they lead; give add_conditional_edges a list of targets"
        for source in shape.undeclared
    ]
    findings += [
        f"{source}: sends without a bound; give its add_conditional_edges, or the add_node of a function that sends itself, max_items="
        for source, bound in shape.senders
        if bound is None
    ]
    findings += [
        f"{source}: max_items={bound}, so it could never send; let it be 1 or more"
        for source, bound in shape.senders
        if bound is not None and bound < 1
    ]
    findings += _unknown(shape)
    findings += [
        f"{name}: no edge leads to it; add one from START or another node, or remove it"
        for name in shape.nodes
        if name not in reachable(shape, START)
    ]
    findings += [finding for name, node in shape.nodes.items() for finding in _exits(name, node)]
    findings += [
        f"{' → '.join(cycle)}: a cycle without a bound; give one of its nodes max_visits="
        for cycle in _cycles(shape)
        if not _bounded(shape, cycle)
    ]
    return findings


def reachable(shape: Shape, start: str) -> set[str]:
    """Every node that a path from `start` can come to, without `start` itself unless a cycle does."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in shape.arrows.get(waiting.pop(), ()):
            if target not in found and target != END:
                found.add(target)
                waiting.append(target)
    return found


def supersteps(shape: Shape) -> int:
    """A bound on the supersteps of one run: the longest path through the graph's strong components.

    A component that is a cycle lasts at most as many steps as visits are allowed in it, and before, between and after them its size
    each, since no path without such a visit meets a node twice.
    """
    order = _components(shape)
    longest: dict[str, int] = {}
    for component in order:  # targets come before their sources
        below = max((longest[t] for n in component for t in shape.arrows.get(n, ()) if t in longest and t not in component), default=0)
        visits = sum(node.max_visits or 0 for node in (shape.nodes[n] for n in component if n in shape.nodes))
        cyclic = len(component) > 1 or any(n in shape.arrows.get(n, ()) for n in component)
        length = visits + (visits + 1) * len(component) if cyclic else 1
        for name in component:
            longest[name] = below + length
    return longest.get(START, 1) + 1


def _unknown(shape: Shape) -> list[str]:
    known = {*shape.nodes, *shape.terminals, END}
    wrong = [(source, target) for source, targets in shape.arrows.items() for target in targets if target not in known]
    return [f"{source}: leads to {target!r}, which is no node" for source, target in wrong]


def _exits(name: str, node: Node) -> Iterable[str]:
    missing = [exit for exit in node.exits if exit not in node.routes]
    if missing:
        yield f"{name}: its exits {', '.join(missing)} lead nowhere; route them with add_exits({name!r}, …) or a default="
    foreign = [exit for exit in node.routes if exit not in (*node.exits, "limit", "denied")]
    if foreign:
        yield f"{name}: has no exit {', '.join(foreign)}; its exits are {', '.join((*node.exits, 'limit'))}"
    if node.exits and node.edges:
        yield f"{name}: has exits, so add_edge from it would take every one of them; use add_exits"
    if node.max_visits is not None and node.max_visits < 1:
        yield f"{name}: max_visits={node.max_visits}, so it would never run; let it be 1 or more, or remove the node"
    if node.max_visits is not None and "limit" not in node.routes:
        yield f"{name}: may reach its max_visits, and the exit limit is not routed; add_exits({name!r}, limit=…)"


def _bounded(shape: Shape, cycle: list[str]) -> bool:
    """Whether no cycle is left once all visits are used up: from then on a bounded node leads on by `limit` alone."""
    nodes = {name: shape.nodes[name] for name in cycle if name in shape.nodes}
    left = {name: shape.arrows.get(name, ()) for name in cycle}  # a node's error handler is none of the nodes, and leads on all the same
    left |= {name: (node.routes.get("limit", END),) for name, node in nodes.items() if node.max_visits is not None}
    return not _cycles(Shape(shape.name, nodes, {name: tuple(t for t in targets if t in left) for name, targets in left.items()}))


def _cycles(shape: Shape) -> list[list[str]]:
    return [c for c in _components(shape) if len(c) > 1 or c[0] in shape.arrows.get(c[0], ())]


def _components(shape: Shape) -> list[list[str]]:
    """Strongly connected components, targets before sources (Tarjan 1972, iterative)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    for root in (START, *shape.nodes):
        if root in index:
            continue
        work = [(root, iter(shape.arrows.get(root, ())))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            name, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    place = stack.index(name)
                    found.append(stack[place:])
                    del stack[place:]
            elif target == END:
                continue
            elif target not in index:
                index[target] = low[target] = len(index)
                stack.append(target)
                work.append((target, iter(shape.arrows.get(target, ()))))
            elif target in stack:
                low[name] = min(low[name], index[target])
    return found
