"""What happens once a call may be made: intent on record, lease checked, call sent in a task of the run, outcome on record."""

from __future__ import annotations

import asyncio
from asyncio import _unregister_task  # documented for who extends asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pointsman import approval as approvals_
from pointsman import canonical, errors
from pointsman.approval import Approval
from pointsman.body import contained, leave, room
from pointsman.breaker import unanswered
from pointsman.errors import Denied, OutcomeUnknown, PointsmanError, ToolFailed, TooSoon, named
from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.gateway.tape import Recorded
from pointsman.gateway.whole import whole
from pointsman.limit import Spend
from pointsman.policy import Decision, Verdict
from pointsman.wall import passage

if TYPE_CHECKING:
    from pointsman.gateway import Gateway

_SAID = 10_000
"""Characters that are kept of what a tool says of its failure."""

_FAREWELL = 1.0
"""Seconds that a call has to end after it was cancelled."""


class Sending:
    """The calls of a segment that are under way."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._tasks: dict[asyncio.Task[Any], str] = {}

    def own(self, call: str, passage: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a call in a task that belongs to the run."""
        task = asyncio.create_task(passage)
        self._tasks[task] = call
        task.add_done_callback(self._tasks.pop)
        # Its outcome is on record; whether whoever asked for it still waits to hear of an error does not matter.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    def under_way(self, call: str) -> asyncio.Task[Any] | None:
        """The task of a call that this segment has begun and that has not ended."""
        return next((task for task, known in self._tasks.items() if known == call), None)

    async def drain(self) -> None:
        """Wait until every call under way has its outcome on record: the segment lets go only then."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def handed(self, request: Request, step: Step, task: asyncio.Task[Any]) -> Any:
        """Wait for a call in its task of the run: a node that is cancelled does not take the call with it, and of an effect it waits for the end.

        An effect of unknown outcome ends the step, whatever its body does with that: nothing may follow from it before it is known.
        """
        try:
            return await (whole(task) if request.is_effect else asyncio.shield(task))
        finally:
            error = task.exception() if task.done() and not task.cancelled() else None
            if isinstance(error, OutcomeUnknown) or (isinstance(error, PointsmanError) and self._gateway.lease.lost):
                step.error = error

    async def send(self, request: Request, step: Step, digest: str, facts: dict[str, Any], approval: Approval | None = None) -> Any:
        """Put the intent on record, make the call, put its outcome on record; the result, or the error it ended with."""
        gate = self._gateway
        left = step.account.remaining_seconds()
        if left is not None and left < request.timeout:
            request = replace(request, timeout=float(left))
        fields = facts | {
            "timeout": str(request.timeout),
            "reserve": request.worst.data(),
            "approval": approval.approval_id if approval else None,
        }
        draft = gate.journal.draft("call.intent", step.position, payloads={"request": digest}, **fields)
        try:
            await gate.append(draft, [approvals_.consumed(approval)] if approval else (), begins=gate.permits.begun(request, step))
        except PointsmanError:
            step.account.release(facts["call"])
            step.keep_call()
            raise
        return await self._perform(request, step, facts["call"], facts["key"])

    async def resolve(self, request: Request, step: Step, found: Recorded) -> Any:
        """A call on record without a known outcome: see the four cases in `ARCHITECTURE.md`."""
        gate = self._gateway
        decided = Decision(Verdict.ALLOW, found.fields.get("rule", ""), "", matched=tuple(found.fields.get("matched", ())))
        revocation = await gate.permits.against(decided, request.target)
        if revocation is not None:
            gate.strike(revocation)
            raise await self._withdrawn(request, step, found, revocation.denial(decided).reason)
        if not request.is_effect or request.keyed:
            return await self._send_again(request, step, found, doubtful=request.is_effect)
        if request.probe is None:
            if found.outcome is None:
                await self._unknown(
                    step, found.call, "the process that made the call died before its outcome was on record", Spend(tool_calls=1)
                )
            raise _unknown_error(request, step, found.call)
        happened, tree = await self._asked(request, step, found, request.probe)
        payloads = {"result": gate.journal.payload_of(tree)} if happened else {}
        draft = gate.journal.draft("call.reconciled", step.position, payloads=payloads, call=found.call, happened=happened)
        await gate.append(draft)
        if not happened:
            return await self._send_again(request, step, found, doubtful=False)
        step.account.settle(found.call, request.worst)
        return request.revive(tree)

    async def _asked(self, request: Request, step: Step, found: Recorded, probe: Callable[[], Awaitable[Any]]) -> tuple[bool, Any]:
        """Whether the outside says that a call happened, and what of its result is kept. Raises `OutcomeUnknown` where it says nothing, or what the tool cannot have answered."""
        self._gateway.lease.check()
        try:
            with passage():
                result = await _within(request.timeout, probe())
            tree = _kept(result, request.result_bytes)
            if tree is not None:
                request.revive(tree)
        except Exception as error:
            what = f"the outside could not be asked: {named(error)}"
            if found.outcome is None:
                await self._unknown(step, found.call, what, Spend(tool_calls=1))
            raise _unknown_error(request, step, found.call, what) from error
        return result is not None, tree

    async def _withdrawn(self, request: Request, step: Step, found: Recorded, why: str) -> PointsmanError:
        """A call that was begun, whose outcome is not known, and that may no longer be made: what to raise."""
        if not request.is_effect:
            error = Denied(why, step=step.position, undone="it was not sent again")
            await self._failed(step, found.call, error, replace(request.worst, seconds=Decimal(0)))
            return error
        if found.outcome is None:
            await self._unknown(step, found.call, why, Spend(tool_calls=1))
        return _unknown_error(replace(request, keyed=False, probe=None), step, found.call, why)

    async def _send_again(self, request: Request, step: Step, found: Recorded, *, doubtful: bool) -> Any:
        fields = {
            **{name: value for name, value in found.fields.items() if name not in ("approval", "outcome", "error")},
            "attempt": step.attempt,
            "again": found.again + 1,
        }
        await self._gateway.append(
            self._gateway.journal.draft("call.intent", step.position, payloads={"request": found.digest}, **fields),
            begins=self._gateway.permits.begun(request, step, again=True),
        )
        return await self._perform(request, step, found.call, found.fields["key"], doubtful=doubtful)

    async def _perform(self, request: Request, step: Step, call: str, key: str, *, doubtful: bool = False) -> Any:
        # Before the lease is looked at: between that look and the call nothing waits.
        async with room() if request.plain else nullcontext():
            self._gateway.lease.check()
            return await self._performed(request, step, call, key, doubtful=doubtful)

    async def _performed(self, request: Request, step: Step, call: str, key: str, *, doubtful: bool) -> Any:
        gate = self._gateway
        begun = gate.clock.monotonic()
        try:
            answer = await self._answer(request, key)
            tree = _kept(answer, request.result_bytes) if request.is_effect else canonical.encode(answer)
            read = None if request.is_effect else request.revive(tree)
        except Exception as error:
            ended = await self._ended(request, step, call, begun, error, doubtful=doubtful)
            if ended is error:
                raise
            raise ended from error
        spent = self._spent(request, begun, tree)
        payloads = {"result": gate.journal.payload_of(tree)}
        await gate.append(
            gate.journal.draft("call.outcome", step.position, payloads=payloads, call=call, outcome="done", spend=spent.data())
        )
        await self._settle(step, call, spent)
        return request.revive(tree) if request.is_effect else read

    async def _ended(
        self, request: Request, step: Step, call: str, begun: float, error: Exception, *, doubtful: bool
    ) -> ToolFailed | OutcomeUnknown:
        """A sending that gave no result goes on record: what to raise.

        Of an effect in doubt none settles anything: that this one was refused, or never left, says nothing of the one before it.
        """
        if isinstance(error, ToolFailed) and not doubtful:
            error.what = error.what[:_SAID]
            await self._failed(step, call, error, self._spent(request, begun, error))
            return error
        what = f"no answer within {request.timeout} s" if isinstance(error, TimeoutError) else named(error)
        if request.is_effect:
            await self._unknown(step, call, what, self._spent(request, begun))
            return _unknown_error(request, step, call, what, again=doubtful)
        failed = ToolFailed(f"{request.target} failed: {what}", step=step.position)
        await self._failed(step, call, failed, self._spent(request, begun))
        return failed

    async def _answer(self, request: Request, key: str) -> Any:
        """What the outside says. Raises `Unavailable` where its breaker is open: nothing was sent."""
        clock, breaker = self._gateway.clock, request.breaker
        ticket = breaker.enter(request.target, clock.monotonic()) if breaker is not None else 0
        answered: bool | None = None
        try:
            with passage():
                answer = await _within(request.timeout, request.perform(key))
            answered = True
            return answer
        except Exception as error:
            answered = not unanswered(error)
            raise
        finally:
            if breaker is not None:
                breaker.leave(ticket, clock.monotonic(), answered=answered)

    async def _failed(self, step: Step, call: str, error: PointsmanError, spent: Spend) -> None:
        await self._outcome(step, call, "failed", {"type": type(error).__name__, "what": error.what}, spent)

    async def _unknown(self, step: Step, call: str, what: str, spent: Spend) -> None:
        await self._outcome(step, call, "unknown", {"type": "OutcomeUnknown", "what": what}, spent)

    async def _outcome(self, step: Step, call: str, outcome: str, error: dict[str, str], spent: Spend) -> None:
        journal = self._gateway.journal
        fields = {"call": call, "outcome": outcome, "error": error["type"], "spend": spent.data()}
        await self._gateway.append(journal.draft("call.outcome", step.position, payloads={"error": journal.payload(error)}, **fields))
        await self._settle(step, call, spent)

    async def _settle(self, step: Step, call: str, spent: Spend) -> None:
        for overrun in step.account.settle(call, spent):
            journal = self._gateway.journal
            await self._gateway.append(
                journal.draft(
                    "limit.overrun", step.position, call_id=call, account=overrun.account, limit=overrun.limit, cap=str(overrun.cap)
                )
            )

    def _spent(self, request: Request, begun: float, told: Any = None) -> Spend:
        seconds = Decimal(str(round(self._gateway.clock.monotonic() - begun, 3)))
        return replace(request.cost(told) if request.cost else request.worst, seconds=seconds)


def _kept(answer: Any, most: int) -> Any:
    """An effect's answer as an encoded tree; None where that has more than `most` bytes or none can be made: it happened all the same."""
    try:
        tree = canonical.encode(answer)
        return tree if len(canonical.dumps(tree)) <= most else None
    except Exception:  # noqa: BLE001 - what an object does that is looked at says nothing of what was done
        return None


async def _within(seconds: float, work: Awaitable[Any]) -> Any:
    """What a call gives. Raises `TimeoutError` where it gives nothing in time, also where its body does not let itself be cancelled: it is left behind then."""
    task = asyncio.ensure_future(contained(work))
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_FAREWELL)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        leave(task)
        _unregister_task(task)  # nor must `asyncio.run`, which cancels what is left and waits until that has ended
        setattr(task, "_log_destroy_pending", False)  # noqa: B010 - as asyncio does with its own; that it was left behind is on record
    if not task.done() or task.cancelled():
        raise TimeoutError
    return task.result()


def recorded_error(found: Recorded, told: dict[str, str]) -> PointsmanError:
    """The error that a recorded call ended with."""
    kind = getattr(errors, told["type"], ToolFailed)
    error: PointsmanError = kind(told["what"], step=found.position)
    error.recorded = True
    if isinstance(error, TooSoon):
        error.wait = float(told["wait"])
    return error


def _unknown_error(request: Request, step: Step, call: str, what: str = "", *, again: bool = False) -> OutcomeUnknown:
    error = in_doubt(request.target, step.position, call, f"sending it again failed: {what}" if again else what)
    error.undone = "nothing that follows from it was done" if again else error.undone
    error.remedy = "resume: it is safe to send again under its key" if request.keyed else error.remedy
    error.retryable = request.keyed or request.probe is not None
    return error


def in_doubt(target: str, position: str, call: str, what: str = "") -> OutcomeUnknown:
    """The error of an effect of which only a person can say whether it happened."""
    return OutcomeUnknown(
        f"whether {target} happened is not known{f' ({what})' if what else ''}",
        step=position,
        undone="it was not sent again",
        remedy=f"find out, then `pointsman answer {call}`",
    )
