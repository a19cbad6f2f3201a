"""Chat trajectories in OpenAI's form: lists of messages, each call of a tool followed by its answer; tau-bench's files are such.

Calls are told apart by their place. Their ids are not unique within a run (tau-bench's own files repeat them for different calls), so an answer
belongs to the call it follows; where a message asks for several at once, to the first of them without an answer that has its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pointsman.errors import BadInput
from pointsman.evaluation import archive
from pointsman.evaluation.importing.amount import counted
from pointsman.evaluation.trace import Call, Trace
from pointsman.limit import Spend

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")

_LACKING = ("versions", "times", "effects", "verdicts", "states")


def is_chat(documents: list[Any]) -> bool:
    """Whether the documents are conversations."""
    return bool(documents) and all(isinstance(found, dict) and ("traj" in found or "messages" in found) for found in documents)


def traces(documents: list[Any]) -> Iterator[Trace]:
    """A trace for each conversation. Raises `BadInput` with the place of what cannot be read."""
    for number, document in enumerate(documents):
        yield _trace(document, number)


def _trace(document: Mapping[str, Any], number: int) -> Trace:
    task, trial = document.get("task_id"), document.get("trial")
    name = f"{task}/{trial}" if task is not None and trial is not None else str(document.get("id", number))
    where = f"run {number} ({name})"
    messages = document.get("traj", document.get("messages"))
    if not isinstance(messages, list):
        raise BadInput(f"{where} has no list of messages")
    calls = _calls(messages, where)
    reward = document.get("reward")
    if reward is not None and (isinstance(reward, bool) or not isinstance(reward, int | float)):
        raise BadInput(f"{where} has the reward {reward!r}, which is no number")
    told = [message for message in messages if message["role"] == "assistant" and isinstance(message.get("usage"), dict)]
    models = tuple(_model(message, place) for place, message in enumerate(messages) if message["role"] == "assistant" and message in told)
    missing = (() if told else ("tokens", "models")) + (() if reward is not None else ("rewards",)) + _LACKING
    kept = {key: value for key, value in document.items() if key not in ("traj", "messages", "task_id", "trial", "reward", "id")}
    return Trace(
        trace_id=name,
        source="chat",
        task=None if task is None else str(task),
        trial=trial if isinstance(trial, int) else None,
        reward=None if reward is None else float(reward),
        calls=tuple(sorted((*calls, *models), key=lambda call: call.message or 0)),
        messages=tuple(messages),
        facts=kept,
        missing=missing,
    )


def _calls(messages: list[Any], where: str) -> list[Call]:
    calls: list[Call] = []
    open_: list[tuple[Any, int]] = []
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise BadInput(f"{where}, message {place} has no known role")
        for asked in _asked_for(message):
            open_.append((asked.get("id"), len(calls)))
            calls.append(_asked(asked, place, f"{where}, message {place}"))
        if message["role"] in ("tool", "function"):
            found = next((entry for entry in open_ if entry[0] == message.get("tool_call_id")), None)
            if found is None:
                raise BadInput(f"{where}, message {place} answers a call that no message before it makes")
            open_.remove(found)
            calls[found[1]] = _answered(calls[found[1]], message.get("content"))
    for _, index in open_:
        calls[index] = _answered(calls[index], None, error="the conversation ends before its answer")
    return calls


def _asked_for(message: Mapping[str, Any]) -> list[Any]:
    """The calls that a message asks for; `function_call` is how one of them was written before there could be several."""
    once = message.get("function_call")
    return [*(message.get("tool_calls") or ()), *([{"function": once}] if once else [])]


def _asked(asked: Any, place: int, where: str) -> Call:
    function = asked.get("function") or asked
    arguments = function.get("arguments", function.get("args"))
    if isinstance(arguments, str):
        try:
            arguments = archive.parsed(arguments or "{}")
        except ValueError as error:
            raise BadInput(f"{where} calls {function.get('name')!r} with arguments that are no JSON: {error}") from error
    if not isinstance(function.get("name"), str) or not isinstance(arguments, dict):
        raise BadInput(f"{where} makes a call without a name, or whose arguments are no object")
    return Call(kind="tool", target=function["name"], arguments=arguments, message=place)


def _answered(call: Call, content: Any, *, error: str | None = None) -> Call:
    return replace(call, result=content, error=error, outcome="failed" if error else "done")


def _model(message: Mapping[str, Any], place: int) -> Call:
    usage = message["usage"]
    tokens = counted(usage.get("prompt_tokens") or 0) + counted(usage.get("completion_tokens") or 0)
    asked = {"messages": place}
    return Call(
        kind="model",
        target=str(message.get("model", "")),
        arguments=asked,
        result=message.get("content"),
        message=place,
        spend=Spend(model_calls=1, tokens=tokens),
    )
