"""How fast recorded runs are replayed, beside running them live: the same graph, on an embedded PostgreSQL and from its own record.

Live runs go eight at once, replays one after another in each process; the ratio is of wall time for as many runs, measured in one go. The airline's
100 recorded runs are back-tested besides, where `POINTSMAN_DATA` has them. Usage: `python -m bench.replay [--json] [--runs N] [--traces N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from langgraph.graph import END, START
from typing_extensions import TypedDict

from evals.measuring import measuring_data
from guards.airline import every_write_asks
from pointsman import Context, Policy, Runs, Workflow, allow, code, effect, tool
from pointsman.evaluation.backtest import Proposal, backtest
from pointsman.evaluation.importing import traces_in
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.evaluation.replays import each
from pointsman.evaluation.trace import Trace
from tools.airline import TOOLS

AT_ONCE = 8


class State(TypedDict, total=False):
    """What an order is made of."""

    order: int
    price: int
    receipt: str
    note: str


@tool(effect="read")
async def price_of(order: int) -> int:
    """The price of an order."""
    return 100 + order


@tool(effect="submit", key="key")
async def charge(price: int, key: str) -> str:
    """Charge a price, once per key."""
    return f"charged {price} under {key[:6]}"


async def quote(state: State, ctx: Context) -> State:
    """Two reads of what the order costs."""
    return {"price": await ctx.call(price_of, order=state["order"]) + await ctx.call(price_of, order=0)}


async def note(state: State) -> State:
    """What is left to say."""
    return {"note": f"{state['order']}: {state['receipt']}"}


def graph() -> Any:
    """Three steps, three calls, one of them an effect."""
    flow = Workflow(State, name="bench", policy=Policy(allow()))
    flow.add_node("quote", code(quote, tools=(price_of,)))
    flow.add_node("charge", effect(charge, reads=("price",), writes="receipt"))
    flow.add_node("note", note)
    flow.add_edge(START, "quote").add_edge("quote", "charge").add_exits("charge", default="note").add_edge("note", END)
    return flow.compile()


def cpu() -> float:
    """Seconds of processor time of this process and of those it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


async def live(runs: int) -> tuple[list[Trace], float, float]:
    """The traces of so many live runs, the seconds that the runs took, and the processor's seconds on our side (PostgreSQL's not counted)."""
    compiled = graph()
    with tempfile.TemporaryDirectory(prefix="pm-bench-") as place:
        home = Path(place)
        async with Runs.open(home=home, root=home, graphs={"bench": compiled}, concurrency=AT_ONCE) as opened:
            await (await opened.start("bench", {"order": 0})).settled()
            began, before = time.perf_counter(), cpu()
            started = [await opened.start("bench", {"order": number}) for number in range(runs)]
            for run in started:
                await run.settled()
            seconds, spent = time.perf_counter() - began, cpu() - before
            return [await trace_of(opened, run) for run in started], seconds, spent


def measure(runs: int, traces: int, workers: int | None) -> dict[str, float]:
    """All figures: `traces` replays of what `runs` live runs left behind."""
    recorded, seconds, spent = asyncio.run(live(runs))
    compiled = graph()
    many = [recorded[number % runs] for number in range(traces)]
    began, before = time.perf_counter(), cpu()
    found = list(each(lambda trace: replay(compiled, trace), many, workers=workers))
    replayed = time.perf_counter() - began
    assert all(one.identical for one in found)
    told = {"runs": runs, "live_per_second": runs / seconds, "live_cpu_ms": spent / runs * 1000}
    told |= {"traces": traces, "replays_per_second": traces / replayed, "replay_cpu_ms": (cpu() - before) / traces * 1000}
    told |= {"processes": workers or os.cpu_count() or 1, "ratio": (traces / replayed) / (runs / seconds)}
    return told | airline()


def airline() -> dict[str, float]:
    """How long it takes to back-test the airline's recorded runs; nothing without the data."""
    file = measuring_data() / "airline" / "recorded-runs.json.gz"
    if not file.is_file():
        return {}
    began = time.perf_counter()
    tried = backtest(traces_in(file), Proposal(policy=every_write_asks), tools=TOOLS)
    return {"airline_runs": tried.runs, "airline_seconds": time.perf_counter() - began}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=100, help="live runs that are recorded")
    parser.add_argument("--traces", type=int, default=1000, help="replays of them")
    parser.add_argument("--workers", type=int, default=None, help="processes that replay; else one a core")
    given = parser.parse_args()
    told = measure(given.runs, given.traces, given.workers)
    if given.json:
        print(json.dumps(told))
        return
    print(f"{told['live_per_second']:.0f} live runs a second ({AT_ONCE} at once, embedded PostgreSQL)")
    print(
        f"{told['replays_per_second']:.0f} replays a second on {told['processes']} processes: {told['ratio']:.1f} times as many, every one identical"
    )
    print(f"{told['replay_cpu_ms']:.1f} ms of processor time a replay; {told['live_cpu_ms']:.1f} ms a live run, without PostgreSQL's")
    if "airline_runs" in told:
        print(f"{told['airline_runs']} airline runs read and back-tested in {told['airline_seconds']:.2f} s")


if __name__ == "__main__":
    main()
