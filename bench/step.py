"""What a controlled step costs beside a plain one: LangGraph with its PostgreSQL saver, and the same graph on pointsman.

Both run in one process on one embedded PostgreSQL, `durability="sync"`, in turn (A B A B …), so that the machine's moods fall on
both; ratios of medians. Usage: `python -m bench.step [--json] [--rounds N] [--quick]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from pointsman import Context, Runs, Workflow, code, tool

STEPS, AT_ONCE = 30, 8
LENGTHS = (30, 300, 3000)

Once = Callable[[], Awaitable[Any]]


class State(TypedDict, total=False):
    """What the trivial graph counts."""

    n: int
    steps: int


@tool(effect="read")
async def double(n: int) -> int:
    """Twice a number."""
    return 2 * n


async def count(state: State) -> State:
    """One trivial step."""
    return {"n": state["n"] + 1}


async def count_with_call(state: State, ctx: Context) -> State:
    """One trivial step with one gated call."""
    await ctx.call(double, n=state["n"])
    return {"n": state["n"] + 1}


def more(state: State) -> str:
    """Go round until all steps are done."""
    return "count" if state["n"] < state["steps"] else END


def plain() -> Any:
    """The graph in LangGraph."""
    graph = StateGraph(State)
    graph.add_node("count", count)
    graph.add_edge(START, "count")
    graph.add_conditional_edges("count", more, ["count", END])
    return graph


def controlled(name: str, node: Any) -> Any:
    """The same graph in pointsman."""
    graph = Workflow(State, name=name)
    graph.add_node("count", node, max_visits=max(LENGTHS))
    graph.add_edge(START, "count")
    graph.add_conditional_edges("count", more, ["count", END])
    graph.add_exits("count", limit=END)
    return graph.compile()


async def ratio(a: Once, b: Once, rounds: int) -> float:
    """Median time of `b` over median time of `a`, run in turn after one warm-up each."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for kept, once in zip(times, (a, b), strict=True):
            begun = time.perf_counter()
            await once()
            if number:
                kept.append(time.perf_counter() - begun)
    return round(statistics.median(times[1]) / statistics.median(times[0]), 3)


async def measure(home: Path, rounds: int, lengths: tuple[int, ...]) -> dict[str, Any]:
    """All ratios."""
    graphs = {"bench": controlled("bench", count), "bench_call": controlled("bench_call", code(count_with_call, tools=(double,)))}
    async with Runs.open(home=home, graphs=graphs, concurrency=AT_ONCE) as runs, AsyncExitStack() as stack:
        # As LangGraph's documentation sets it up: one connection, which is also its fastest on loopback.
        saver = await stack.enter_async_context(AsyncPostgresSaver.from_conn_string(str(runs.owner.store.pool.conninfo)))
        base = plain().compile(checkpointer=saver)

        async def alone(steps: int) -> Any:
            config: Any = {"configurable": {"thread_id": str(uuid4())}, "recursion_limit": steps + 10}
            return await base.ainvoke({"n": 0, "steps": steps}, config, durability="sync")

        async def ours(steps: int, graph: str = "bench") -> None:
            run = await runs.start(graph, {"n": 0, "steps": steps})
            assert (await run.settled()).state == "done"

        async def many(once: Callable[[int], Awaitable[Any]]) -> None:
            await asyncio.gather(*(once(STEPS) for _ in range(AT_ONCE)))

        found: dict[str, Any] = {
            "one": await ratio(lambda: alone(STEPS), lambda: ours(STEPS), rounds),
            "eight": await ratio(lambda: many(alone), lambda: many(ours), max(3, rounds // 3)),
            "one_with_call": await ratio(lambda: alone(STEPS), lambda: ours(STEPS, "bench_call"), rounds),
            "by_length": [],
        }
        for steps in lengths:
            times = max(2, min(rounds, 3000 // steps))
            found["by_length"].append({"steps": steps, "ratio": await ratio(partial(alone, steps), partial(ours, steps), times)})
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="leave the longest run out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pm-bench-", ignore_cleanup_errors=True) as home:
        found = asyncio.run(measure(Path(home), given.rounds, LENGTHS[:-1] if given.quick else LENGTHS))
    if given.json:
        print(json.dumps(found))
        return
    print("time of pointsman over time of plain LangGraph (sync, PostgreSQL), ratios of medians")
    for name in ("one", "eight", "one_with_call"):
        print(f"  {name:15} {found[name]}")
    for entry in found["by_length"]:
        print(f"  {entry['steps']:5} steps     {entry['ratio']}")


if __name__ == "__main__":
    main()
