"""What a model asks for, turned into a call that the gateway can judge, whatever it wrote."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from pydantic import TypeAdapter

from pointsman import canonical
from pointsman.errors import BadInput, NotAllowed
from pointsman.gateway.request import Request, tool_request
from pointsman.limit import Spend
from pointsman.tool import Contract

ARGUMENT_BYTES = 100_000
"""How large the arguments of one call may be, as JSON."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_MALFORMED = "malformed"


def numbered(message: AIMessage, turn: int) -> AIMessage:
    """A model's message whose calls have ids of our own, each once, and whose malformed calls are calls too: so every attempt goes one way.

    An id is `cTTTTNNNN`, of the turn and the place of the call in it.
    """
    asked: list[ToolCall] = [*message.tool_calls, *(_whole(call) for call in message.invalid_tool_calls)]
    calls = [
        ToolCall(type="tool_call", id=f"c{turn:04d}{place:04d}", name=call["name"] or "", args=call["args"])
        for place, call in enumerate(asked)
    ]
    changes: dict[str, Any] = {"tool_calls": calls, "invalid_tool_calls": []}
    kept = {name: part for name, part in message.additional_kwargs.items() if name not in ("tool_calls", "function_call")}
    return AIMessage(**message.model_dump(exclude={"type", "additional_kwargs", *changes}), additional_kwargs=kept, **changes)


def _whole(call: InvalidToolCall) -> ToolCall:
    text = call["args"] or ""
    return ToolCall(type="tool_call", id=None, name=call["name"] or "", args={_MALFORMED: _told(text)})


def _told(text: str) -> str:
    data = text.encode("utf-8", "replace")
    return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


def request(name: str, arguments: Mapping[str, Any], contract: Contract | None) -> Request:
    """The call that a model asks for; one that can only be denied where it names no tool, or gives arguments in which no call can be made."""
    try:
        size = len(canonical.dumps(canonical.encode(dict(arguments))))
        wrong = f"they have {size} bytes; {ARGUMENT_BYTES} are allowed" if size > ARGUMENT_BYTES else ""
    except (BadInput, ValueError, TypeError, RecursionError) as error:
        size, wrong = 0, f"they have no form in which they could be kept ({type(error).__name__})"
    if _MALFORMED in arguments:
        wrong = f"they are no JSON object ({arguments[_MALFORMED]})"
    if wrong:
        arguments = {_MALFORMED: _told(repr(arguments)) if size == 0 or size > ARGUMENT_BYTES else arguments[_MALFORMED]}
    if contract is not None and not wrong:
        return tool_request(contract, arguments)
    shown = name if _NAME.match(name) else f"unnamed-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return Request(
        target=contract.name if contract else shown, effect=contract.effect if contract else "execute", public=canonical.encode(dict(arguments)),
        typed=dict(arguments), invalid=wrong, timeout=1.0, worst=Spend(tool_calls=1), result_bytes=0, keyed=False,
        returns=TypeAdapter(Any), perform=_never,
    )  # fmt: skip


def task(name: str, arguments: Mapping[str, Any]) -> Request:
    """The call of an agent below that a model asks for: like a read, since what it does is judged call by call; denied unless it is one task, as text."""
    told = arguments.get("task")
    fits = set(arguments) == {"task"} and isinstance(told, str) and bool(told.strip()) and len(told) <= ARGUMENT_BYTES
    wanted = request(name, arguments, None)
    wrong = wanted.invalid or ("" if fits else "an agent is given one task, as text")
    return replace(wanted, target=name, effect="read", public=told if not wrong else wanted.public, invalid=wrong)


async def _never(_: str) -> Any:
    raise NotAllowed("there is no such call", undone="nothing was sent")
