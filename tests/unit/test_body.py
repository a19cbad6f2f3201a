"""Threads for plain bodies: bounded, and never waited for by who does not want their answer."""

import asyncio
import threading
import time

import pytest

from pointsman import body
from pointsman.body import ROOM, Threads, contained, in_thread
from pointsman.errors import Unavailable

pytestmark = pytest.mark.anyio


async def test_so_many_threads_are_left_behind_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "LEFT_BEHIND", 2)
    monkeypatch.setattr(body, "_left", set())  # not those that other tests left
    free = threading.Event()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_thread(free.wait), 0.05)
    with pytest.raises(Unavailable, match="2 calls that never ended"):
        await in_thread(str, 5)
    free.set()
    async with asyncio.timeout(10):
        while True:
            try:
                assert await in_thread(str, 5) == "5"
                break
            except Unavailable:
                await asyncio.sleep(0.01)


async def test_an_executor_of_them_is_bounded_and_gives_every_answer() -> None:
    here: list[int] = []
    most, lock, several = 0, threading.Lock(), threading.Event()

    def work(number: int) -> int:
        nonlocal most
        with lock:
            here.append(number)
            most = max(most, len(here))
        if most > 1:
            several.set()
        several.wait(60)
        time.sleep(0.005)
        with lock:
            here.remove(number)
        return number

    threads = Threads()
    loop = asyncio.get_running_loop()
    assert await asyncio.gather(*(loop.run_in_executor(threads, work, number) for number in range(3 * ROOM))) == list(range(3 * ROOM))
    assert 1 < most <= ROOM
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(threads, lambda: 1 // 0)
    threads.shutdown()


async def test_what_is_closed_or_cancelled_from_outside_is_so() -> None:
    work = contained(asyncio.sleep(60))
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    closed = contained(asyncio.Event().wait())

    async def begin() -> None:
        closed.send(None)  # type: ignore[attr-defined]

    await asyncio.create_task(begin())
    closed.close()  # type: ignore[attr-defined]
