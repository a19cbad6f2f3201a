"""The one form in which a model's answer is kept: the whole message, whether it came at once or as a stream.

Plain data without ids of the provider or of LangChain, so that two equal answers have one digest:
`{"content", "tool_calls", "invalid_tool_calls", "usage", "finish", "model", "refusal"}`, empty parts left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from pointsman import canonical
from pointsman.errors import BadInput, legible

LEVELS = 100
"""How deep what a model gives as data may be nested: it is told back within a conversation, which has to be kept too."""

_TOKENS = 10**12
"""No answer has so many tokens: a report of them is no report."""


def record(generation: ChatGeneration, told: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The recorded form of an answer; `told` is what came beside it, such as LangChain's `llm_output`. Raises `TypeError` where it is no message of a model."""
    message = generation.message
    if not isinstance(message, AIMessage):
        raise TypeError(f"the answer is a {type(message).__name__}")
    about = {**(told or {}), **message.response_metadata, **(generation.generation_info or {})}
    refusal = message.additional_kwargs.get("refusal")
    kept = {
        "content": message.content,
        **_calls(message),
        "usage": dict(message.usage_metadata) if message.usage_metadata else None,
        "finish": _text(about.get("finish_reason")),
        "model": _text(about.get("model_name")),
        "refusal": refusal if isinstance(refusal, str | None) else str(refusal),
    }
    return {name: part for name, part in kept.items() if part or name == "content"}


def _calls(message: AIMessage) -> dict[str, list[dict[str, Any]]]:
    """Its calls, and those whose arguments are none: no JSON, or none of which a record can be made (NaN, lone surrogates, too many levels)."""
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for call in message.tool_calls:
        kept = {"name": legible(call["name"]), "args": call["args"], "id": call["id"] and legible(call["id"])}
        written = _written(call["args"])
        good, bad = ([*good, kept], bad) if written is None else (good, [*bad, kept | {"args": written, "error": "it cannot be kept"}])
    for wrong in message.invalid_tool_calls:
        bad.append({name: said and legible(str(said)) for name, said in wrong.items() if name in ("name", "args", "id", "error")})
    return {"tool_calls": good, "invalid_tool_calls": bad}


def _written(arguments: Any) -> str | None:
    """Arguments that have no canonical form, as a model may have written them; None for those that have one."""
    try:
        tree = canonical.encode(arguments)
        canonical.dumps(tree)
        fits = canonical.levels(tree) <= LEVELS
    except (BadInput, ValueError):
        fits = False
    if not fits:
        try:
            return json.dumps(arguments)
        except (TypeError, ValueError, RecursionError):
            return ""
    return None


def _text(told: Any) -> str | None:
    return legible(told) if isinstance(told, str) else None


def set_aside(response: Any) -> list[list[InvalidToolCall]]:
    """Take those calls out of an OpenAI completion whose arguments are JSON and no object, by choice: LangChain would raise over the whole answer, and nothing of it be known."""
    unread: list[list[InvalidToolCall]] = []
    for choice in getattr(response, "choices", None) or ():
        calls = choice.message.tool_calls or []
        wrong = [call for call in calls if not _may_be_read(call)]
        choice.message.tool_calls = [call for call in calls if call not in wrong] or None
        unread.append(
            [invalid_tool_call(name=call.function.name, args=call.function.arguments, id=call.id, error="no object") for call in wrong]
        )
    return unread


def put_back(result: ChatResult, unread: list[list[InvalidToolCall]]) -> None:
    """Put calls that were set aside among those of the answer that cannot be read."""
    for generation, calls in zip(result.generations, unread, strict=False):
        if calls and isinstance(generation.message, AIMessage):
            generation.message.invalid_tool_calls = [*generation.message.invalid_tool_calls, *calls]


def _may_be_read(call: Any) -> bool:
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except (AttributeError, TypeError, ValueError, RecursionError):  # LangChain finds these itself
        return True
    return not arguments or isinstance(arguments, dict)


def refuse(part: ChatGenerationChunk | None, chunk: Any) -> None:
    """Put the refusal in a chunk of an OpenAI stream where the one of a whole answer is: LangChain leaves it out."""
    deltas = (
        [choice.get("delta") or {} for choice in chunk.get("choices") or () if isinstance(choice, dict)] if isinstance(chunk, dict) else []
    )
    refusal = deltas[0].get("refusal") if deltas else None
    if part is not None and isinstance(refusal, str):
        part.message.additional_kwargs["refusal"] = refusal


def message(kept: Mapping[str, Any], response_format: Any = None) -> AIMessage:
    """A recorded answer as LangChain's message; where a pydantic class was asked for, with the `parsed` part that its parser reads."""
    more: dict[str, Any] = {"refusal": kept["refusal"]} if kept.get("refusal") else {}
    if isinstance(response_format, type) and not more:
        parsed = _json(kept["content"])
        more |= {"parsed": parsed} if isinstance(parsed, dict) else {}
    return AIMessage(
        content=kept["content"],
        tool_calls=[{**call, "type": "tool_call"} for call in kept.get("tool_calls", ())],
        invalid_tool_calls=[{**call, "type": "invalid_tool_call"} for call in kept.get("invalid_tool_calls", ())],
        usage_metadata=_usage_metadata(kept),
        response_metadata=_about(kept),
        additional_kwargs=more,
    )


def chunk(kept: Mapping[str, Any], response_format: Any = None) -> AIMessageChunk:
    """A recorded answer as the one chunk of a stream."""
    whole = message(kept, response_format)
    calls = [
        tool_call_chunk(
            name=call["name"], args=call["args"] if isinstance(call["args"], str) else json.dumps(call["args"]), id=call["id"], index=place
        )
        for place, call in enumerate([*whole.tool_calls, *whole.invalid_tool_calls])
    ]
    return AIMessageChunk(
        content=whole.content,
        tool_call_chunks=calls,
        usage_metadata=whole.usage_metadata,
        response_metadata=whole.response_metadata,
        additional_kwargs=whole.additional_kwargs,
        chunk_position="last",
    )


def size(part: ChatGenerationChunk) -> int:
    """The characters of a part of a stream."""
    calls = getattr(part.message, "tool_call_chunks", ())
    return len(str(part.message.content)) + sum(len(str(call[name] or "")) for call in calls for name in ("name", "args", "id"))


def usage(kept: Mapping[str, Any]) -> tuple[int, int] | None:
    """Input and output tokens as the provider reported them; None where it reported none, or none that can be true of the answer."""
    told = kept.get("usage") or {}
    asked, answered, total = (_count(told, name) for name in ("input_tokens", "output_tokens", "total_tokens"))
    if not asked or answered is None:
        return None
    if answered == 0 and any(kept.get(part) for part in ("content", "tool_calls", "invalid_tool_calls")):
        return None
    # A total above the sum counts: some providers bill what they do not list.
    return asked, max(answered, (total or 0) - asked)


def _count(told: Mapping[str, Any], name: str) -> int | None:
    value = told.get(name)
    return value if type(value) is int and 0 <= value < _TOKENS else None


def _usage_metadata(kept: Mapping[str, Any]) -> UsageMetadata | None:
    if usage(kept) is None:
        return None
    told = kept["usage"]
    asked, answered, total = told["input_tokens"], told["output_tokens"], _count(told, "total_tokens")
    return UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered if total is None else total)


def _about(kept: Mapping[str, Any]) -> dict[str, Any]:
    named = {"finish_reason": kept.get("finish"), "model_name": kept.get("model")}
    return {name: value for name, value in named.items() if value is not None}


def _json(content: Any) -> Any:
    try:
        return json.loads(content)
    except (TypeError, ValueError):
        return None
