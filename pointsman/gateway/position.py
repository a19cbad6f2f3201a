"""Where a step stands in its run, told so that another run, a rerun and a replay say the same.

LangGraph's namespace of a task (`node:task|node:task`) is stable over interrupts, crashes and retries, but it hashes a checkpoint
id, so a fork or another run has other namespaces. A position says per graph level which node, its how-manieth visit, and
which `Send` it is: `node@visit#push`, levels joined by `/`; a subgraph that one body calls again adds `+n` to the level above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import RunnableConfig

from pointsman.event import Event

_PUSH = "__pregel_push"


def path_of(position: str) -> str:
    """The names of the nodes of a position, a level for each graph, without visits."""
    return "/".join(level.partition("@")[0] for level in position.split("/"))


def visit_of(position: str) -> int:
    """The how-manieth visit of its node a position is, from 1."""
    return int(position.rpartition("@")[2].partition("#")[0].partition("+")[0])


@dataclass(frozen=True, slots=True)
class Place:
    """One step as LangGraph places it."""

    ns: str
    node: str
    position: str
    superstep: int
    """LangGraph's step counter within its graph instance."""

    @property
    def task(self) -> str:
        """LangGraph's id of the task."""
        return self.ns.rsplit(":", 1)[-1]


class Positions(BaseCallbackHandler):
    """The positions of a segment's steps. As a callback it sees every level start before its body, plain subgraphs too."""

    run_inline = True
    raise_error = True
    ignore_llm = ignore_chat_model = ignore_agent = ignore_retriever = ignore_retry = ignore_custom_event = True

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._places: dict[str, Place] = {}
        self._visits: dict[tuple[str, str], dict[int, int]] = {}
        self.ended: Callable[[Place], None] = lambda _: None
        """Called with the place of a step whose body has returned; what it raises ends the step."""
        self.raised: Callable[[Place, BaseException], None] = lambda _place, _error: None
        """Called with what a body has raised."""
        self._bodies: dict[Any, str] = {}
        self._running: set[str] = set()
        for event in events:
            self._recall(event)

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, metadata: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Note the place of a task that is about to run."""
        if metadata and "langgraph_checkpoint_ns" in metadata:
            ns = self.place(metadata).ns
            if ns not in self._running:  # else a chain within the body
                self._bodies[run_id] = ns
                self._running.add(ns)

    def enters(self, ns: str) -> None:
        """The body of a step begins: a chain that starts under its namespace from now on is within it, and its end is not that of the body."""
        self._running.add(ns)

    def on_chain_end(self, outputs: Any, *, run_id: Any, **kwargs: Any) -> None:
        """A body has returned: the step may still have to end otherwise."""
        ns = self._left(run_id)
        if ns is not None:
            self.ended(self._places[ns])

    def on_chain_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        """A body has raised."""
        ns = self._left(run_id)
        if ns is not None:
            self.raised(self._places[ns], error)

    def _left(self, run_id: Any) -> str | None:
        ns = self._bodies.pop(run_id, None)
        self._running.discard(ns or "")
        return ns

    def place(self, metadata: Mapping[str, Any]) -> Place:
        """The place of the task whose metadata this is."""
        ns = metadata["langgraph_checkpoint_ns"]
        known = self._places.get(ns)
        if known is not None:
            return known
        node, superstep, path = metadata["langgraph_node"], metadata["langgraph_step"], metadata["langgraph_path"]
        instance = self._instance(ns)
        push = f"#{path[1]}" if path and path[0] == _PUSH and isinstance(path[1], int) else ""
        position = f"{instance}{'/' if instance else ''}{node}@{self._visit(instance, node, superstep)}{push}"
        place = self._places[ns] = Place(ns, node, position, superstep)
        return place

    def find(self, ns: str) -> Place | None:
        """The place of a namespace that has started in this segment or stands on the record."""
        return self._places.get(ns)

    def _instance(self, ns: str) -> str:
        """The position of the step that this graph instance runs in; empty for the root graph."""
        parts = ns.split("|")[:-1]
        again = ""
        if parts and parts[-1].isdigit():
            again = f"+{parts.pop()}"
        if not parts:
            return ""
        above = self._places.get("|".join(parts))
        return (above.position if above else "|".join(part.split(":")[0] for part in parts)) + again

    def _visit(self, instance: str, node: str, superstep: int) -> int:
        """The rank of a superstep among those in which the node ran in this instance."""
        visits = self._visits.setdefault((instance, node), {})
        return visits.setdefault(superstep, max(visits.values(), default=0) + 1)

    def _recall(self, event: Event) -> None:
        if event.kind == "run.repaired":
            self._fork(event)
        elif event.kind == "step.started":
            ns, node, superstep = event.fields["ns"], event.fields["node"], event.fields["superstep"]
            self._places[ns] = Place(ns, node, event.position, superstep)
            self._visits.setdefault((event.position.rpartition("/")[0], node), {})[superstep] = visit_of(event.position)

    def _fork(self, event: Event) -> None:
        """A rerun begins behind a superstep of the root graph: what ran later, and inside later steps, is counted anew."""
        last = event.fields["superstep"]
        self._visits = {
            (instance, node): {superstep: visit for superstep, visit in visits.items() if superstep <= last}
            for (instance, node), visits in self._visits.items()
            if not instance
        }


def listening(config: RunnableConfig, positions: Positions) -> None:
    """Let what is run under a config tell its positions."""
    callbacks = config.get("callbacks")
    if isinstance(callbacks, BaseCallbackManager):
        if positions not in callbacks.inheritable_handlers:
            callbacks.add_handler(positions, inherit=True)
    else:
        config["callbacks"] = [*(callbacks or ()), positions]
