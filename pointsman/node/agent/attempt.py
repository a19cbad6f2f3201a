"""What a model asks for, turned into a call that the gateway can judge, whatever it wrote."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.outputs import ChatGeneration
from pydantic import TypeAdapter

from pointsman import canonical
from pointsman.errors import BadInput, NotAllowed
from pointsman.gateway.request import Request, tool_request
from pointsman.limit import Spend
from pointsman.model import answer
from pointsman.schema import check_kept
from pointsman.tool import Contract

ARGUMENT_BYTES = 100_000
"""How large the arguments of one call may be, as JSON."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_MALFORMED = "(malformed)"
"""Stands in the place of arguments that are none; no parameter can have this name."""


def numbered(message: AIMessage, turn: int) -> AIMessage:
    """A model's message whose calls have ids of our own, each once, and whose malformed calls are calls too: so every attempt goes one way.

    An id is `cTTTTNNNN`, of the turn and the place of the call in it. The message is as it is on record, also where it came as a stream, whose parts
    LangChain puts together without us. What no checkpoint takes (integers of more than 64 bits) is malformed too; of blocks of content that
    none takes the text is kept.
    """
    told = answer.message(answer.record(ChatGeneration(message=message)))
    asked: list[ToolCall] = [*(_kept(call) for call in told.tool_calls), *(_whole(call) for call in told.invalid_tool_calls)]
    calls = [
        ToolCall(type="tool_call", id=f"c{turn:04d}{place:04d}", name=call["name"] or "", args=call["args"])
        for place, call in enumerate(asked)
    ]
    content = told.content if _can_be_kept(told.content) else told.text
    return told.model_copy(
        update={"id": message.id, "name": message.name, "content": content, "tool_calls": calls, "invalid_tool_calls": []}
    )


def _kept(call: ToolCall) -> ToolCall:
    return call if _can_be_kept(call["args"]) else {**call, "args": {_MALFORMED: _told(repr(call["args"]))}}


def _can_be_kept(value: Any) -> bool:
    try:
        check_kept(value)
    except BadInput:
        return False
    return canonical.levels(value) <= answer.LEVELS


def _whole(call: InvalidToolCall) -> ToolCall:
    text = call["args"] or ""
    return ToolCall(type="tool_call", id=None, name=call["name"] or "", args={_MALFORMED: _told(text)})


def _told(text: str) -> str:
    data = text.encode("utf-8", "replace")
    return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


def request(name: str, arguments: Mapping[str, Any], contract: Contract | None) -> Request:
    """The call that a model asks for; one that can only be denied where it names no tool, or gives arguments in which no call can be made."""
    wrong, told = _unfit(arguments)
    if contract is not None and not wrong:
        try:
            return tool_request(contract, arguments)
        except Exception as error:  # noqa: BLE001 - a value that its type takes and no record does (a time without a zone); a validator that fails
            wrong = f"they cannot be taken ({error.what if isinstance(error, BadInput) else type(error).__name__})"
    shown = name if _NAME.match(name) else f"unnamed-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return Request(
        target=contract.name if contract else shown, effect=contract.effect if contract else "execute", public=canonical.encode(told),
        typed=told, invalid=wrong, timeout=1.0, worst=Spend(tool_calls=1), result_bytes=0, keyed=False,
        returns=TypeAdapter(Any), perform=_never,
    )  # fmt: skip


def _unfit(arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Why no call can be made in these arguments, empty where one can; and them, or what is said of them, as they can be kept."""
    if _MALFORMED in arguments:
        said = str(arguments[_MALFORMED])[:80]
        return f"they are no JSON object that can be kept ({said})", {_MALFORMED: said}
    try:
        size = len(canonical.dumps(canonical.encode(dict(arguments))))
    except (BadInput, ValueError, TypeError, RecursionError) as error:
        return f"they have no form in which they could be kept ({type(error).__name__})", {_MALFORMED: "without a form"}
    if size > ARGUMENT_BYTES:
        return f"they have {size} bytes; {ARGUMENT_BYTES} are allowed", {_MALFORMED: _told(repr(arguments))}
    return "", dict(arguments)


def task(name: str, arguments: Mapping[str, Any]) -> Request:
    """The call of an agent below that a model asks for: like a read, since what it does is judged call by call; denied unless it is one task, as text."""
    told = arguments.get("task")
    fits = set(arguments) == {"task"} and isinstance(told, str) and bool(told.strip()) and len(told) <= ARGUMENT_BYTES
    wanted = request(name, arguments, None)
    wrong = wanted.invalid or ("" if fits else "an agent is given one task, as text")
    return replace(wanted, target=name, effect="read", public=told if not wrong else wanted.public, invalid=wrong)


async def _never(_: str) -> Any:
    raise NotAllowed("there is no such call", undone="nothing was sent")
