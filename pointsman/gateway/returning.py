"""What a step gets that asks for a call which is on record: the result again, or the call again under its key, never a blind second effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.gateway.request import Request
from pointsman.gateway.sending import recorded_error
from pointsman.gateway.step import Step
from pointsman.gateway.tape import Recorded
from pointsman.limit import Spend

if TYPE_CHECKING:
    from pointsman.gateway import Gateway


class Returning:
    """The calls of a segment that an earlier one has begun."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def give_back(self, request: Request, step: Step, found: Recorded) -> Any:
        """A call that has ended: its result, or the error it ended with."""
        self._gateway.tape.consume(found.call)
        if found.outcome in ("done", "failed"):
            step.spend_call()
        if found.outcome != "done":
            raise recorded_error(found, await self._gateway.payload(found.payloads["error"]))
        return request.revive(await self._gateway.payload(found.payloads["result"]))

    async def resolve(self, request: Request, step: Step, found: Recorded) -> Any:
        """A call that was begun and whose outcome is not known: sent again under its key, or asked about, or left to a person; never a blind second effect."""
        self._gateway.tape.consume(found.call)
        step.spend_call()
        under_way = self._gateway.sending.under_way(found.call)  # begun by an earlier attempt that did not wait for it
        if under_way is not None:
            return await self._gateway.sending.handed(request, step, under_way)
        step.account.hold(found.call, Spend.of(found.fields.get("reserve", {})))
        request = self._gateway.source.sent(request, step, found.digest, found.k)
        return await self._gateway.permits.kept(
            lambda: self._gateway.sending.handed(
                request, step, self._gateway.sending.own(found.call, self._gateway.sending.resolve(request, step, found))
            )
        )

    async def give_again(self, request: Request, step: Step, digest: str, facts: dict[str, Any], earlier: Recorded) -> Any:
        """In a rerun: an equal call finished at this position before. It is given again, and put on this branch's record."""
        result = earlier.payloads["result"]
        step.spend_call()
        kept = {name: earlier.fields[name] for name in ("verdict", "rule", "key", "labels") if name in earlier.fields}
        self._gateway.note(
            self._gateway.journal.draft(
                "call.outcome",
                step.position,
                payloads={"request": digest, "result": result},
                **facts,
                **kept,
                outcome="done",
                given=earlier.call,
            )
        )
        return request.revive(await self._gateway.payload(result))
