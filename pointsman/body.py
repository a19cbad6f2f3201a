"""A body: a function of the project's, run so that it can end nothing but itself.

An async body runs on the loop, a plain one in a thread of ours. `asyncio.run` and the interpreter wait for the threads of asyncio's own executor when
they end, so that one function which never returns would hold its process for ever; nothing waits for these, and one that nobody waits for any more
(its call was given up, its run let go) is left behind. What it says then goes to nobody.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar, copy_context
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pointsman.errors import Unavailable, named

ROOM = 32
"""How many plain bodies run at once on behalf of one loop; what those call does not count again, since they wait for it."""

LEFT_BEHIND = 100
"""So many threads may be left behind in a process before no further one is begun."""

_IDLE = 1.0
"""Seconds that a thread waits for another body before it ends."""

T = TypeVar("T")
Job = Callable[[], None]

_has_room: ContextVar[bool] = ContextVar("pointsman_room", default=False)
_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
_idle: list[SimpleQueue[Job]] = []
_left: set[Job] = set()
_gone: set[asyncio.Task[Any]] = set()


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a function, or an object that is called as one, has to be awaited."""
    return inspect.iscoroutinefunction(function if inspect.isroutine(function) else getattr(function, "__call__", function))  # noqa: B004 - its code is wanted, not whether there is one


async def execute(function: Callable[..., Any], /, *args: Any, **given: Any) -> Any:
    """What a body gives: an async one on the loop, a plain one in a thread; that may give what has to be awaited yet."""
    made = function(*args, **given) if is_async(function) else await in_thread(function, *args, **given)
    return await made if inspect.isawaitable(made) else made


async def contained(work: Awaitable[T]) -> T:
    """What `work` gives. Raises `RuntimeError` where it raises what would end more than itself, and nobody has asked it to stop."""
    task = asyncio.current_task()
    try:
        return await work
    except (Exception, KeyboardInterrupt):  # a person's Ctrl-C, as far as anybody can tell here
        raise
    except BaseException as error:
        is_asked = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
        is_closed = isinstance(error, GeneratorExit) and _present_task() is not task
        if is_asked or is_closed:
            raise
        raise RuntimeError(f"it raised {named(error)}") from error


def _present_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


@asynccontextmanager
async def room() -> AsyncIterator[None]:
    """Wait until one more plain body may run, and keep its place."""
    if _has_room.get():
        yield
        return
    places = _rooms.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(ROOM))
    async with places:
        before = _has_room.set(True)
        try:
            yield
        finally:
            _has_room.reset(before)


async def in_thread(function: Callable[..., T], /, *args: Any, **given: Any) -> T:
    """What a plain function gives, called in a thread and in a copy of this context. Raises `Unavailable` where too many threads were left behind."""
    if len(_left) >= LEFT_BEHIND:
        raise Unavailable(
            f"{len(_left)} calls that never ended hold a thread each", undone="nothing was begun", remedy="restart this process"
        )
    loop, context = asyncio.get_running_loop(), copy_context()
    answer: asyncio.Future[T] = loop.create_future()
    ended = threading.Event()

    def job() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = context.run(function, *args, **given)
        except BaseException as raised:  # noqa: BLE001 - whatever it is, who waits for it is told; a thread has no process to end
            error = raised
        ended.set()
        _left.discard(job)
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_tell, answer, result, error)

    _begin(job)
    try:
        return await answer
    except asyncio.CancelledError:
        _left.add(job)
        if ended.is_set():
            _left.discard(job)
        raise


def leave(task: asyncio.Task[Any]) -> None:
    """Wait for a task no more. It is kept: what catches everything would go on for ever if it were collected, in the midst of whatever the process does then."""
    _gone.add(task)
    task.add_done_callback(_gone.discard)
    task.add_done_callback(lambda late: late.cancelled() or late.exception())


def _tell(answer: asyncio.Future[T], result: T, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        answer.set_exception(error)
    else:  # what no future can hold, or what would end more than who waits for it
        wrapped = RuntimeError(f"it raised {named(error)}")
        wrapped.__cause__ = error
        answer.set_exception(wrapped)


def _begin(job: Job) -> None:
    try:
        _idle.pop().put(job)
    except IndexError:
        threading.Thread(target=_work, args=(job,), name="pointsman-body", daemon=True).start()


def _work(job: Job) -> None:
    jobs: SimpleQueue[Job] = SimpleQueue()
    while True:
        job()
        _idle.append(jobs)
        try:
            job = jobs.get(timeout=_IDLE)
        except Empty:
            try:
                _idle.remove(jobs)
            except ValueError:  # it was chosen at this moment
                job = jobs.get()
            else:
                return


class Threads(ThreadPoolExecutor):
    """An executor for a loop of ours, `ROOM` threads at most: `asyncio.to_thread` in somebody's body does not hold the process either."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)  # it never begins a thread of its own
        self._jobs: deque[Job] = deque()
        self._lock = threading.Lock()
        self._busy = 0

    def submit(self, function: Callable[..., T], /, *args: Any, **given: Any) -> Future[T]:
        """As executors do."""
        answer: Future[T] = Future()

        def job() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(function(*args, **given))
            except BaseException as error:  # noqa: BLE001 - who waits for it is told
                answer.set_exception(error)

        with self._lock:
            self._jobs.append(job)
            is_full = self._busy >= ROOM
            self._busy += not is_full
        if not is_full:
            _begin(self._work)
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what still runs, but not for long."""
        until = time.monotonic() + _IDLE
        while wait and self._busy and time.monotonic() < until:
            time.sleep(0.01)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._busy -= 1
                    return
                job = self._jobs.popleft()
            job()


os.register_at_fork(after_in_child=_idle.clear)  # a forked process has none of these threads
