"""What the gateway itself costs: one call of a tool and one decision of a policy, where nothing waits.

A call is the whole order of `Gateway.call` on a tool that does nothing: request, tape, policy, limits, intent, the call in its own
task, outcome, result. The store under the journal answers at once, so what is left out is what waits and nothing else: the two
commits (a client's share of each, some 100 µs, among them) and the tool. Medians over calls, and the least of several rounds of
them, since whatever else the machine does can only add. Usage: `python -m bench.gateway [--json] [--calls N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from langchain_core.runnables.config import var_child_runnable_config

from pointsman import Limits, Policy, allow, ask, deny, tool
from pointsman.clock import SystemClock
from pointsman.event import Head
from pointsman.gateway import Gateway
from pointsman.gateway.position import Place
from pointsman.gateway.rules import Rules
from pointsman.gateway.step import Step
from pointsman.journal import Journal
from pointsman.lease import Lease, Owner
from pointsman.policy import Facts, arg
from pointsman.store import Store

ROUNDS = 7


@tool(effect="read")
async def double(n: int) -> int:
    """Twice a number."""
    return 2 * n


total = arg("invoice.total")
policy = Policy(
    deny("erase_everything"),
    allow(double),
    allow("post_invoice", when=total <= 500),
    ask("post_invoice", when=(total > 500) & (total <= 100_000), role="controller"),
    deny("post_invoice", when=total > 100_000),
    version="bench",
)


class Answered:
    """A store that answers at once, and keeps the times at which it was asked."""

    asked: list[float]

    async def fetch(self, name: str, *params: Any) -> list[Any]:
        """Nothing: the statement counts as committed."""
        self.asked.append(time.perf_counter())
        return []


def best(once: Callable[[], float]) -> float:
    """The least of several rounds, in microseconds."""
    return round(min(once() for _ in range(ROUNDS)) * 1e6, 1)


def decision(calls: int) -> float:
    """Seconds of one decision over five rules, two of them with conditions that hold for no other call."""
    facts = Facts("post_invoice", "send", {"invoice": {"total": 4200}}, node="post", principal="dana")
    begun = time.perf_counter()
    for _ in range(calls):
        policy.decide(facts)
    return (time.perf_counter() - begun) / calls


async def calls(number: int) -> tuple[float, float]:
    """Seconds of one call: up to the moment the intent is handed to the store, and in all."""
    store, clock = Answered(), SystemClock()
    with tempfile.TemporaryDirectory(prefix="pm-bench-") as home:
        owner = Owner(cast(Store, store), clock, Path(home), Path(home) / "lock", ttl=3600)
        journal = Journal(owner.store, "bench", epoch=1, head=Head(), salt=bytes(32), branch=0, clock=clock)
        lease = Lease(owner, "bench", 1, clock.monotonic())

        async def read(digest: str) -> Any:
            raise KeyError(digest)

        gateway = Gateway(Rules(policy, Limits(tool_calls=number + 1, seconds=3600), "bench"), journal, lease, clock, [], read)
        place = Place("post:1", "post", "post@1", 1)
        gateway.steps.begin(Step(place, gateway.steps.attempt(1), gateway.steps.account(place), (policy,), frozenset({"double"})))
        token = var_child_runnable_config.set({"configurable": {"checkpoint_ns": place.ns}})
        before, whole = [], []
        for n in range(number):
            store.asked = []
            begun = time.perf_counter()
            await gateway.call_tool(double.contract, {"n": n})
            whole.append(time.perf_counter() - begun)
            before.append(store.asked[0] - begun)
        var_child_runnable_config.reset(token)
    return statistics.median(before), statistics.median(whole)


def measure(number: int) -> dict[str, float]:
    """All figures, in microseconds."""
    rounds = [asyncio.run(calls(number)) for _ in range(ROUNDS)]
    return {
        "decision": best(lambda: decision(number * 10)),
        "call_before_io": round(min(before for before, _ in rounds) * 1e6, 1),
        "call": round(min(whole for _, whole in rounds) * 1e6, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--calls", type=int, default=300)
    given = parser.parse_args()
    found = measure(given.calls)
    if given.json:
        print(json.dumps({f"{name}_us": value for name, value in found.items()}))
        return
    print("microseconds, nothing waits; medians, the least of several rounds")
    print(f"  {found['decision']:8}  a decision of a policy of five rules")
    print(f"  {found['call_before_io']:8}  a call, until its intent is handed to the store")
    print(f"  {found['call']:8}  a call in all: the same, its task, its outcome, its result")


if __name__ == "__main__":
    main()
