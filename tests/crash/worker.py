"""Workers that are killed: real processes, forked from one that has imported everything, since starting Python takes seconds.

Orders come as JSON lines on standard input; each gets a process of its own, forked before there is any loop, thread or connection;
{"end": [order, …]} kills those of them that still live. Told back: {"order", "pid"} at once, and {"order", "status", "answer"} when the process has ended, however it did.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import signal
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import langchain_openai  # noqa: F401 - what some workers need beyond the graphs, and would each take a second to import

from pointsman import Runs
from pointsman.price import list_price
from pointsman.testing import Switch, open_switched
from tests.crash.graphs import GRAPHS


def opened(order: dict[str, Any], switch: Switch) -> AbstractAsyncContextManager[Runs]:
    home = Path(order["home"])
    if order.get("url") is None:
        return Runs.open(home=home, root=home, graphs=GRAPHS, ttl=order.get("ttl", 15.0))
    return open_switched(
        switch, url=order["url"], home=home, graphs=GRAPHS, concurrency=order.get("concurrency", 6), ttl=order.get("ttl", 15.0)
    )


def strike(at: int) -> None:
    """Die right before the `at`-th thing that applying a change does to files."""
    count = 0

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod") or (event == "open" and arguments[2] & os.O_CREAT):
            frame: Any = sys._getframe(1)
            while frame is not None and not frame.f_code.co_filename.endswith("sandbox/applying.py"):
                frame = frame.f_back
            count += frame is not None
            if frame is not None and count == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(heard)


async def work(order: dict[str, Any]) -> dict[str, Any]:
    """Start the runs of these keys, or go on with them, do what the order says, and wait until they have settled."""
    switch = Switch(**order.get("switch", {}))
    states = {}
    async with opened(order, switch) as runs:
        begun = []
        for key in order["keys"]:
            run = await runs.start(order["graph"], order["input"], key=key)
            if order.get("resume") and (await run.summary()).state == "parked":
                await runs.resume(run)
            begun.append((key, run))
        if order.get("sweep"):
            await runs.sweep()
        if order.get("approve"):
            await approve(runs, order, [run.run_id for _, run in begun])
        if "answer" in order:
            for item in await runs.inbox():
                await runs.answer(item, order["answer"], by="dana")
        if "reconcile" in order:
            [intent] = [event for event in await runs.events(begun[0][1]) if event.kind == "call.intent"]
            await runs.reconcile(begun[0][1], intent.fields["call"], by="dana", **order["reconcile"])
        if order.get("compensate"):
            begun = [(key, await runs.compensate(run, by="dana")) for key, run in begun if await run.settled()]
        for key, run in begun:
            states[key] = (await run.settled()).state
    return {"states": states, "commits": switch.commits}


async def approve(runs: Runs, order: dict[str, Any], own: list[str]) -> None:
    """Say yes to all that is asked, or to what the order's own runs ask."""
    for item in await runs.inbox():
        if order["approve"] != "own" or item.run_id in own:
            await runs.approve(item, by=order.get("by", "dana"))


def child(order: dict[str, Any], out: int) -> None:
    if "within" in order:
        os.chdir(order["within"])  # a project that lies there
    if "strike" in order:
        strike(order["strike"])
    os.environ |= order["environment"] | {"OUTSIDE": order["outside"], "PACE": str(order.get("pace", 0))}
    try:
        answer = asyncio.run(work(order))
    except BaseException as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    os.write(out, json.dumps(answer).encode())


def main() -> None:
    list_price("", "")  # reads the tables
    gc.freeze()  # nothing of this is looked through again, and copied for that, in every worker
    living: dict[int, tuple[int, int, bytes]] = {}
    said = b""
    while True:
        ready, _, _ = select.select([0, *living], [], [])
        for descriptor in ready:
            if descriptor == 0:
                chunk = os.read(0, 65536)
                if not chunk:
                    for pid, _, _ in living.values():
                        os.kill(pid, signal.SIGKILL)
                    return
                *lines, said = (said + chunk).split(b"\n")
                for line in lines:
                    order = json.loads(line)
                    if "end" in order:
                        _end(order["end"], living)
                    else:
                        _begin(order, living)
                continue
            pid, number, told = living[descriptor]
            chunk = os.read(descriptor, 65536)
            living[descriptor] = (pid, number, told + chunk)
            if not chunk:
                del living[descriptor]
                os.close(descriptor)
                _, status = os.waitpid(pid, 0)
                _say({"order": number, "status": os.waitstatus_to_exitcode(status), "answer": json.loads(told or b"{}")})


def _begin(order: dict[str, Any], living: dict[int, tuple[int, int, bytes]]) -> None:
    back, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(back)
        child(order, out)
        os._exit(0)
    os.close(out)
    living[back] = (pid, order["order"], b"")
    _say({"order": order["order"], "pid": pid})


def _end(orders: list[int], living: dict[int, tuple[int, int, bytes]]) -> None:
    for pid, number, _ in living.values():
        if number in orders:
            os.kill(pid, signal.SIGKILL)


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
