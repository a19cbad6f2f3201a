"""What an agent's turn costs beside LangChain's alone: an agent node of pointsman, and `create_agent`, with LangGraph's PostgreSQL saver and without any.

All speak to one OpenAI-compatible server on the loopback interface that answers at once, so what is left is the runtime's own part; with a real
model the ratio goes towards 1. In one process, without streaming, in turn (A B C A B C …) after one warm-up each; the two that keep something, on one
embedded PostgreSQL with `durability="sync"`. `create_agent` is given a model and a tool and nothing else: no policy, no limits, no record. Without a saver
it keeps nothing at all, so its ratio is the price of being able to go on after a crash as well. Ratios are of medians, of whole runs with few and with many
turns, and of one turn more; behind the first two the quartiles of the ratios within a round. Usage: `python -m bench.agent [--json] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain.agents import create_agent
from langchain_core.tools import tool as plain_tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START
from pydantic import SecretStr
from typing_extensions import TypedDict

from pointsman import Runs, Workflow, agent, tool
from pointsman.testing import Act, OpenAIServer, answer

SAVED, BARE = "create_agent with LangGraph's PostgreSQL saver", "create_agent without a saver"

FEW, MANY = 2, 10
"""Turns of a run, the last of which answers."""


class State(TypedDict, total=False):
    """What the agent is given, and what it finds."""

    turns: str
    found: str


async def _twice(n: int) -> int:
    """Twice a number, for example 4 for 2."""
    return 2 * n


double = tool(effect="read")(_twice)
plain_double = plain_tool("_twice")(_twice)


def acted(body: dict[str, Any]) -> Act:
    """What the model says: another number in every turn, and the answer in the last one."""
    said = sum(1 for message in body["messages"] if message["role"] == "assistant")
    turns = int(next(word for message in body["messages"] for word in str(message["content"]).split() if word.startswith("turns:"))[6:])
    return answer("done") if said >= turns - 1 else Act(tool_calls=(("_twice", json.dumps({"n": said})),))


def graph_of(model: Any, turns: int) -> Any:
    """An agent node that may take so many turns."""
    flow = Workflow(State, name=f"bench{turns}")
    flow.add_node(
        "agent",
        agent(reads=("turns",), writes="found", returns=str, prompt="Go on, {turns}", model=model, tools=(double,), turns=turns + 1),
    )
    flow.add_edge(START, "agent")
    flow.add_exits("agent", default=END)
    return flow.compile()


Once = Callable[[int], Awaitable[None]]
"""One run with so many turns."""


async def times(each: Mapping[str, Once], turns: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each, run in turn after one warm-up each."""
    kept: dict[str, list[float]] = {name: [] for name in each}
    for number in range(rounds + 1):
        for name, once in each.items():
            begun = time.perf_counter()
            await once(turns)
            if number:
                kept[name].append(time.perf_counter() - begun)
    return kept


def ratios(few: Mapping[str, list[float]], many: Mapping[str, list[float]], beside: str) -> dict[str, Any]:
    """Those of pointsman to another: the ratio of medians, and the quartiles of the ratios within a round."""
    told: dict[str, Any] = {}
    for turns, kept in ((FEW, few), (MANY, many)):
        within = [ours / other for ours, other in zip(kept["pointsman"], kept[beside], strict=True)]
        low, _, high = statistics.quantiles(within, n=4)
        middle = statistics.median(kept["pointsman"]) / statistics.median(kept[beside])
        told[f"{turns}_turns"] = [round(number, 2) for number in (middle, low, high)]
    more = [statistics.median(many[name]) - statistics.median(few[name]) for name in ("pointsman", beside)]
    return told | {"one_turn_more": round(more[0] / more[1], 2)}


async def measure(home: Path, rounds: int) -> dict[str, Any]:
    """All ratios, by what pointsman stands beside."""
    with OpenAIServer(acted) as server:
        model = ChatOpenAI(model="acted", base_url=server.base_url, api_key=SecretStr("none"), max_retries=0)
        graphs = {f"bench{turns}": graph_of(model, turns) for turns in (FEW, MANY)}
        async with Runs.open(home=home, graphs=graphs) as runs, AsyncExitStack() as stack:
            saver = await stack.enter_async_context(AsyncPostgresSaver.from_conn_string(str(runs.owner.store.pool.conninfo)))
            savers = {SAVED: create_agent(model, [plain_double], checkpointer=saver), BARE: create_agent(model, [plain_double])}

            async def theirs(turns: int, name: str) -> None:
                config: Any = {"configurable": {"thread_id": str(uuid4())}}
                durable: Any = "sync" if name == SAVED else None
                given: Any = {"messages": [("user", f"Go on, turns:{turns} please")]}
                ran = await savers[name].ainvoke(given, config, durability=durable)
                assert len(ran["messages"]) == 2 * turns

            async def ours(turns: int) -> None:
                run = await runs.start(f"bench{turns}", {"turns": f"turns:{turns}"})
                assert (await run.settled()).state == "done"

            each: dict[str, Once] = {name: partial(theirs, name=name) for name in savers} | {"pointsman": ours}
            asked = len(server.seen)
            few, many = [await times(each, turns, rounds) for turns in (FEW, MANY)]
            assert len(server.seen) - asked == len(each) * (rounds + 1) * (FEW + MANY), "all were asked as often"
    return {beside: ratios(few, many, beside) for beside in savers}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pm-bench-", ignore_cleanup_errors=True) as home:
        found = asyncio.run(measure(Path(home), given.rounds))
    if given.json:
        print(json.dumps(found))
        return
    print("time of an agent node of pointsman (fake server, sync, PostgreSQL): ratio of medians [quartiles of the ratios within a round]")
    for beside, told in found.items():
        print(f"  over {beside}")
        for name, ratio in told.items():
            shown = f"{ratio[0]} [{ratio[1]}, {ratio[2]}]" if isinstance(ratio, list) else str(ratio)
            print(f"    {name.replace('_', ' '):15} {shown}")


if __name__ == "__main__":
    main()
