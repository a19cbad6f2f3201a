"""What the acceptance tests run against: an outside world that counts, tools that reach it, and how to look at a run."""

import asyncio
import operator
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy
from rich.console import Console
from typing_extensions import TypedDict

from pointsman import Policy, Runs, Workflow, allow, ask, effect, tool
from pointsman.event import Event
from pointsman.runs import Item, Run, Summary

OpenRuns = Callable[..., AbstractAsyncContextManager[Runs]]

FAST = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=3)


class State(TypedDict, total=False):
    """The state of most graphs here."""

    amount: int
    item: int
    items: list[int]
    log: Annotated[list[str], operator.add]
    seen: Annotated[list[str], operator.add]
    text: str
    count: int
    receipt: str
    note: str


async def a_while() -> None:
    """Time enough for what others only do in memory; turns of the loop too, since a machine that stands still meanwhile gives them none."""
    await asyncio.sleep(0.05)
    for _ in range(100):
        await asyncio.sleep(0)


@dataclass
class Gate:
    """Where the body of a tool stands until it is let go on. Whoever has seen it `reached` knows that the call is under way."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def open_soon(self) -> None:
        """Let it go on once whoever says so has begun to do something else."""
        asyncio.get_running_loop().call_later(0.05, self.opened.set)


@dataclass
class World:
    """Everything outside: which bodies ran with what, effects by idempotency key, and what is planted to go wrong."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    keys: dict[str, list[Any]] = field(default_factory=dict)
    ran: Counter[str] = field(default_factory=Counter)
    """How often node bodies ran, by a name the test gives them."""
    delay: Callable[[Any], float] = lambda _: 0.0
    broken: set[Any] = field(default_factory=set)
    gates: dict[Any, Gate] = field(default_factory=dict)

    def gate(self, argument: Any) -> Gate:
        """A gate before all that is called with this argument."""
        return self.gates.setdefault(argument, Gate())

    async def passed(self, argument: Any) -> None:
        """Until what is called with this argument has waited for as long as it has to."""
        await asyncio.sleep(self.delay(argument))
        if gate := self.gates.get(argument):
            gate.reached.set()
            await gate.opened.wait()

    def count(self, name: str, argument: Any = ...) -> int:
        """How often a tool's body ran (with this argument)."""
        return sum(1 for called, given in self.calls if called == name and argument in (..., given))

    def asked(self, name: str) -> list[Any]:
        """The arguments a tool's body ran with, in order."""
        return [given for called, given in self.calls if called == name]

    def tools(self) -> "Tools":
        """Fresh tools on this world."""
        return Tools(self)


class Tools:
    """`look` and `peek` read; `pay` and `send` change the world; `pay` hands its key over."""

    def __init__(self, world: World) -> None:
        @tool(effect="read")
        async def look(x: int) -> str:
            """Read one thing."""
            await world.passed(x)
            world.calls.append(("look", x))
            if ("look", x) in world.broken:
                raise OSError("planted")
            return f"saw {x}"

        @tool(effect="read")
        async def peek(x: int) -> str:
            """Read another thing."""
            await world.passed(x)
            world.calls.append(("peek", x))
            return f"peeked {x}"

        @tool(effect="submit", sinks=("amount",), key="key")
        async def pay(amount: int, key: str) -> str:
            """Pay an amount."""
            world.calls.append(("pay", amount))
            world.keys.setdefault(key, []).append(amount)
            await world.passed(amount)
            return f"paid {amount}"

        @tool(effect="send")
        async def send(text: str) -> str:
            """Send a text; the outside keeps no key."""
            world.calls.append(("send", text))
            return f"sent {text}"

        self.look, self.peek, self.pay, self.send = look, peek, pay, send


ALL = Policy(allow())
ASK_PAY = Policy(allow(), ask("pay", name="ask-pay"))


def logs(name: str) -> Any:
    """A node that logs its name."""

    async def body(state: State) -> State:
        return {"log": [name]}

    return body


def flow(*, policy: Policy = ALL, name: str = "flow", state: type[Any] = State, **options: Any) -> Workflow:
    """An empty workflow on `State`."""
    return Workflow(state, name=name, policy=policy, **options)


def line(*nodes: tuple[str, Any], policy: Policy = ALL, name: str = "flow", state: type[Any] = State, **options: Any) -> Any:
    """A compiled chain of nodes."""
    graph = flow(policy=policy, name=name, state=state, **options)
    for before, (node, action) in zip(["__start__", *(node for node, _ in nodes)], nodes, strict=False):
        graph.add_node(node, action)
        graph.add_edge(before, node)
    return graph.compile()


async def go(runs: Runs, given: Any = None, *, graph: str = "flow", key: str | None = None) -> tuple[Run, Summary]:
    """Start a run and wait until it stands still."""
    run = await runs.start(graph, {} if given is None else given, key=key)
    return run, await run.settled()


async def output(runs: Runs, run: Run) -> dict[str, Any]:
    """The fields of a sealed run's output, as encoded trees."""
    events, payloads = await runs.events(run), await runs.payloads(run)
    sealed = next(event for event in reversed(events) if event.kind == "run.sealed")
    return {name.removeprefix("output."): payloads[digest] for name, digest in sealed.payloads.items()}


async def told(runs: Runs, run: Run, kind: str, **fields: Any) -> list[Event]:
    """A run's events of one kind whose fields have these values."""
    events = [event for event in await runs.events(run) if event.kind == kind]
    return [event for event in events if all(event.fields.get(name) == value for name, value in fields.items())]


async def error_of(runs: Runs, run: Run) -> dict[str, Any]:
    """What the newest parking of a run says went wrong."""
    parked = (await told(runs, run, "run.parked"))[-1]
    found: dict[str, Any] = (await runs.payloads(run))[parked.payloads["error"]]
    return found


async def open_items(runs: Runs, run: Run) -> list[Item]:
    """A run's questions in the inbox."""
    return [item for item in await runs.inbox() if item.run_id == run.run_id]


async def approve_all(runs: Runs, run: Run) -> Summary:
    """Say yes until nobody asks any more."""
    while items := await open_items(runs, run):
        await runs.approve(items[0], by="dana")
        await run.settled()
    return await run.settled()


def roles(home: Path, **held: list[str]) -> None:
    """Write the project's roles."""
    folder = home / "guards"
    folder.mkdir(exist_ok=True)
    lines = "".join(f"{role} = {names!r}\n" for role, names in held.items())
    (folder / "roles.toml").write_text(f"[roles]\n{lines}")


async def drained(stream: AsyncIterator[Any]) -> list[Any]:
    """Everything a stream gives."""
    return [part async for part in stream]


def amounts(world: World) -> list[Decimal]:
    """What was paid, once for each key."""
    return [Decimal(given[0]) for given in world.keys.values()]


class Planted(Exception):
    """What LangGraph retries by default, as it does not a `RuntimeError`."""


def plain(*nodes: tuple[str, Any, dict[str, Any]]) -> Any:
    """A compiled chain of LangGraph's own: nobody announces its steps."""
    graph = StateGraph(State)
    for before, (name, action, options) in zip(["__start__", *(node[0] for node in nodes)], nodes, strict=False):
        graph.add_node(name, action, **options)
        graph.add_edge(before, name)
    return graph.compile()


def counted(world: World, name: str, *, fails: bool = False, **gives: Any) -> Any:
    """A node that counts its executions and gives what it is told to."""

    async def body(state: State) -> State:
        world.ran[name] += 1
        if fails and state.get("text") != "mended":
            raise ValueError("not mended")
        return {"log": [name], **{field: make(state) for field, make in gives.items()}}

    return body


def paying(world: World, *, policy: Any = ALL, **options: Any) -> Workflow:
    """read → price (amount from text) → post (the effect) → after."""
    t = world.tools()
    graph = flow(policy=policy, **options)
    graph.add_node("read", counted(world, "read"))
    graph.add_node("price", counted(world, "price", amount=lambda s: int(s.get("text") or 480)))
    graph.add_node("post", effect(t.pay, reads=("amount",), writes="receipt"))
    graph.add_node("after", counted(world, "after"))
    graph.add_edge(START, "read").add_edge("read", "price").add_edge("price", "post")
    graph.add_exits("post", done="after", default=END)
    return graph


async def rerun(runs: Runs, run: Any, node: str, **patch: Any) -> str:
    """Go on from a node with a patch; the state the run settles in."""
    await runs.rerun(run, node=node, patch=patch, by="lee", reason="mended")
    return (await run.settled()).state


async def outcomes(runs: Any, run: Any) -> list[str]:
    """How the calls of a run ended, in order."""
    return [event.fields["outcome"] for event in await told(runs, run, "call.outcome")]


def thread(name: str) -> dict[str, Any]:
    """A config that addresses a LangGraph thread."""
    return {"configurable": {"thread_id": name}}


async def only(runs: Runs) -> Any:
    """The one run there is."""
    [summary] = await runs.list()
    return await runs.get(summary.run_id)


def printed(page: Any) -> str:
    """What a page of the command line says, on one line."""
    console = Console(width=400)
    with console.capture() as held:
        console.print(page)
    return " ".join(held.get().split())
