"""The compiled workflow: LangGraph's own graph, every way into which opens a segment."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.errors import InvalidUpdateError
from langgraph.graph.state import CompiledStateGraph

from pointsman.errors import Conflict
from pointsman.gateway import KEY, Gateway
from pointsman.node import Node
from pointsman.policy.lint import Finding, lint
from pointsman.principal import Roles
from pointsman.segment import ADVANCE, Plan, Segment
from pointsman.served import enter, shown_by
from pointsman.tool import Contract

RERUN = "__rerun__"
"""The node that a rerun's patch is written as: it has no edges, so nothing follows from the patch itself."""

Stream = AsyncGenerator[Any, None]


class Controlled(CompiledStateGraph[Any, Any, Any, Any]):
    """A compiled workflow. Studio, streaming and parent graphs use it as any other; every way to run it opens a segment."""

    def __init__(self, *, plan: Plan, **attributes: Any) -> None:
        names = ("_output_mapper", "_state_mapper", "_serde_allowlist")
        mappers: dict[str, Any] = {name: attributes.pop(name) for name in names if name in attributes}
        attributes["checkpointer"] = shown_by(attributes.get("checkpointer"), plan)
        super().__init__(**attributes)
        self.plan = plan
        vars(self).update(mappers)

    @property
    def parts(self) -> list[Node]:
        """Every node of the workflow and of the workflows in it."""
        return [part for builder in self._builders() for part in getattr(builder, "parts", {}).values()]

    def lint(self, roles: Roles | None = None) -> list[Finding]:
        """What is wrong or odd about its policy; with `roles`, also about who is to decide. Tools are not looked up where a plain graph in it may call others."""
        vouched = bool(self.plan.rules.labels) or any(part.kind == "question" for part in self.parts)
        vouched = vouched or any(contract.label.integrity > "untrusted" for contract in self.contracts.values())
        known = self.knows_its_tools
        return lint(self.plan.rules.policy, tools=self.tools if known else None, roles=roles, is_vouched=vouched if known else None)

    @property
    def contracts(self) -> dict[str, Contract]:
        """The contracts of its nodes' tools, of those that show and undo what others do too, by name."""
        return {one.name: one for part in self.parts for contract in part.contracts for one in contract.family()}

    @property
    def tools(self) -> dict[str, str]:
        """Its tools: name to effect class."""
        return {name: contract.effect for name, contract in self.contracts.items()}

    @property
    def agents(self) -> set[str]:
        """The names under which its agents ask others below them."""
        return {name for part in self.parts for name in (part.declared or {}).get("agents", ())}

    @property
    def knows_its_tools(self) -> bool:
        """Whether no plain graph in it may call others."""
        return all(hasattr(builder, "parts") for builder in self._builders())

    @property
    def rules(self) -> set[str]:
        """The ids of the rules that decide in it."""
        policies = [self.plan.rules.policy, *(policy for part in self.parts for policy in part.policies)]
        return {rule for policy in policies for rule in policy.ids}

    def _builders(self) -> list[Any]:
        return [self.builder, *(getattr(below, "builder", None) for _, below in self.get_subgraphs(recurse=True))]

    async def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        """Advance a run and stream it, as in LangGraph. Raises what `Segment.open` raises, and what a failing step raised, after parking the run."""
        if _is_within(config):  # a subgraph: the segment is its parent's
            bounded = merge_configs(config, {"recursion_limit": self.plan.supersteps})
            async with aclosing(cast(Stream, super().astream(input, bounded, **options))) as parts:
                async for part in parts:
                    yield part
            return
        entry = await enter(self, input, config)
        place = merge_configs(self.config, entry.config).get("configurable", {})
        opening = Segment.open(self.plan, entry.input, entry.config or {}, place)
        async with entry.telling(), opening as (segment, given, own):
            options |= {"durability": "sync", "control": segment.control}
            # Closed before the segment is: a stream that is abandoned leaves nothing of it running.
            async with aclosing(cast(Stream, super().astream(given, own, **options))) as parts:
                async for part in parts:
                    yield part
            if self._breaks(options):
                await segment.gateway.journal.saved()
                segment.unfinished = bool((await self.aget_state(own)).next)

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """Refused: pointsman is async only."""
        raise Conflict(
            f"workflow {self.plan.name!r} was run synchronously",
            undone="nothing was started",
            remedy="use `await graph.ainvoke(…)` or `graph.astream(…)`",
        )

    def update_state(self, config: RunnableConfig, values: Any, as_node: str | None = None, task_id: str | None = None) -> RunnableConfig:
        """Refused, as `aupdate_state`."""
        raise _changed_from_outside()

    def bulk_update_state(self, config: RunnableConfig, supersteps: Sequence[Any]) -> RunnableConfig:
        """Refused, as `aupdate_state`."""
        raise _changed_from_outside()

    async def aupdate_state(
        self, config: RunnableConfig, values: Any, as_node: str | None = None, task_id: str | None = None
    ) -> RunnableConfig:
        """Refused from outside: a change of state is a rerun with a patch, which is on record."""
        self._refuse_update(config)
        return await super().aupdate_state(config, values, as_node, task_id)

    async def abulk_update_state(self, config: RunnableConfig, supersteps: Sequence[Any]) -> RunnableConfig:
        """Refused from outside, as `aupdate_state`."""
        self._refuse_update(config)
        return await super().abulk_update_state(config, supersteps)

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> Any:
        """As LangGraph's, where a server or an engine gave it a checkpointer. Raises `Conflict` elsewhere, as do its three siblings."""
        self._refuse_reading(config)
        return super().get_state(config, subgraphs=subgraphs)

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> Any:
        """As `get_state`."""
        self._refuse_reading(config)
        return await super().aget_state(config, subgraphs=subgraphs)

    def get_state_history(self, config: RunnableConfig, **options: Any) -> Any:
        """As `get_state`."""
        self._refuse_reading(config)
        return super().get_state_history(config, **options)

    def aget_state_history(self, config: RunnableConfig, **options: Any) -> Any:
        """As `get_state`."""
        self._refuse_reading(config)
        return super().aget_state_history(config, **options)

    def get_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Any:
        """The graph as it is drawn: without the node that only reruns use, and each edge of a node with every exit that leads along it."""
        graph = super().get_graph(config, xray=xray)
        for name in [name for name in graph.nodes if name.split(":")[-1] == RERUN]:
            graph.remove_node(graph.nodes[name])
        for place, edge in enumerate(graph.edges):
            source, target = (end.partition(":")[0] for end in (edge.source, edge.target))
            if source == target != edge.target:  # within a graph below, which has named its own
                continue
            routes = getattr(getattr(self.builder, "parts", {}).get(source), "routes", {})
            along = [exit for exit, leads in routes.items() if leads == target]
            if along:
                graph.edges[place] = edge._replace(data=" · ".join(along))
        return graph

    async def aget_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Any:
        """As `get_graph`."""
        return self.get_graph(config, xray=xray)

    def _breaks(self, options: Mapping[str, Any]) -> bool:
        """Whether LangGraph may stop between two nodes."""
        here = (self.interrupt_before_nodes, self.interrupt_after_nodes, options.get("interrupt_before"), options.get("interrupt_after"))
        return any(here)

    def _refuse_reading(self, config: RunnableConfig) -> None:
        if not self.checkpointer and "__pregel_checkpointer" not in config.get("configurable", {}):
            raise Conflict(
                f"workflow {self.plan.name!r} keeps the state of its runs in the project's PostgreSQL, which a compiled graph does not open by itself",
                undone="nothing was read",
                remedy="`async with Runs.open() as runs`: `await runs.get(THREAD)`, then `runs.events` and `runs.payloads`; or `pointsman show THREAD`",
            )

    def _refuse_update(self, config: RunnableConfig) -> None:
        if "__pregel_checkpointer" not in config.get("configurable", {}):
            raise _changed_from_outside()


def _is_within(config: RunnableConfig | None) -> bool:
    """Whether a graph is run by the step of a run: as a node, or by a body, which need not hand its config on."""
    place = (config or {}).get("configurable", {})
    # An engine says which run it means, from wherever it is called; so does a thread.
    if KEY not in place and (ADVANCE in place or "thread_id" in place):
        return False
    return isinstance(ensure_config(config).get("configurable", {}).get(KEY), Gateway)


class Unchangeable(Conflict, InvalidUpdateError):
    """A change of state from outside; a server answers LangGraph's own error of that kind with its words, and not with "internal error"."""


def _changed_from_outside() -> Conflict:
    return Unchangeable(
        "the state of a run cannot be changed from outside",
        undone="nothing was changed",
        remedy="`pointsman rerun RUN --node NODE --set FIELD=JSON`, which is reviewed and on record",
    )
