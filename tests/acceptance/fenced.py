"""A graph of one agent, whose every exit leads to a node that writes its name down."""

from typing import Any

from langgraph.graph import END, START
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import Limits, Policy, Workflow, agent
from pointsman.guard import Guard
from pointsman.testing import says
from tests.acceptance.world import OpenRuns, go, output

ENDS = ("answered", "abstained", "needs_person", "limit", "loop", "tool_failure", "denied", "unavailable")


class Finding(BaseModel):
    """What the agent is to find."""

    cause: str
    sure: bool = True


class State(TypedDict, total=False):
    text: str
    finding: Finding
    end: str


FOUND = says(answer={"cause": "disk", "sure": True})


def triage(model: Any, **options: Any) -> Any:
    """An agent node."""
    return agent(
        **{"reads": ("text",), "writes": "finding", "returns": Finding, "prompt": "Find the cause of {text}.", "model": model, **options}
    )


def fenced(
    model: Any,
    *,
    policy: Policy | None = None,
    within: Limits | None = None,
    retry: Any = None,
    name: str = "flow",
    guards: tuple[Guard, ...] = (),
    **options: Any,
) -> Any:
    """A graph of one agent; `within` are the limits of the whole run."""
    flow = Workflow(State, name=name, policy=policy or Policy(), limits=within, guards=guards)
    flow.add_node("triage", triage(model, **options), **({"retry_policy": retry} if retry else {}))
    flow.add_edge(START, "triage")
    for end in ENDS:
        flow.add_node(f"was_{end}", _writer(end))
        flow.add_edge(f"was_{end}", END)
    flow.add_exits("triage", **{end: f"was_{end}" for end in ENDS})
    return flow.compile()


def _writer(end: str) -> Any:
    def write(state: State) -> State:
        return {"end": end}

    return write


class Ended:
    """How a run of such a graph went."""

    def __init__(self, exit: str, reason: str, by: str, out: Any, events: list[Any], payloads: Any) -> None:
        self.exit, self.reason, self.by, self.out, self.events, self.payloads = exit, reason, by, out, events, payloads

    def told(self, kind: str, **fields: Any) -> list[Any]:
        """The events of a kind whose fields have these values."""
        return [
            event for event in self.events if event.kind == kind and all(event.fields.get(name) == value for name, value in fields.items())
        ]


async def ended(open_runs: OpenRuns, graph: Any, given: Any = None) -> Ended:
    """Run it to its end."""
    async with open_runs(graph) as runs:
        run, summary = await go(runs, given or {"text": "slow checkout"})
        assert summary.state == "done", (summary, await runs.payloads(run))
        return await seen(runs, run)


async def seen(runs: Any, run: Any) -> Ended:
    """How a run that has ended went."""
    events, payloads = await runs.events(run), await runs.payloads(run)
    route = [event for event in events if event.kind == "route.taken" and event.position == "triage@1"][-1]
    out = await output(runs, run)
    return Ended(out["end"], payloads.get(route.payloads.get("reason", ""), ""), route.fields["by"], out, events, payloads)
