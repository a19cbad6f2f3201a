"""What an acted-out model answers: one act is one response, with all that can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_PIECE = 12
"""How many characters of content a chunk of a stream carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One response of the server."""

    content: str | None = ""
    tool_calls: tuple[tuple[str, str], ...] = ()
    """Names and arguments as the model wrote them: JSON, or what should have been."""
    refusal: str | None = None
    finish: str | None = None
    """`stop` or `tool_calls` where None."""
    usage: Any = "counted"
    """What is reported: a value of one's own, None for nothing, `counted` for a plausible count."""
    status: int = 200
    retry_after: str | None = None
    location: str | None = None
    """Where a redirect (a `status` of 3xx) leads."""
    delay: float = 0.0
    """Seconds before the head of the response."""
    drip: float = 0.0
    """Seconds before each chunk of a stream."""
    drop: int | None = None
    """The connection breaks before this chunk of a stream, or in the middle of a whole response."""
    raw: str | None = None
    """The body as it is, instead of a completion."""
    model: str | None = None
    """The name it gives itself; the requested one where None."""

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """The whole response to a request."""
        calls = [
            {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": args}}
            for place, (name, args) in enumerate(self.tool_calls)
        ]
        message = {"role": "assistant", "content": self.content, "refusal": self.refusal, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": self._finish(), "logprobs": None}
        return self._envelope(body, "chat.completion") | {"choices": [choice], "usage": self._usage(body)}

    def parts(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The chunks of a streamed response; the one with the usage only where the request wants it."""
        text = self.content or ""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": text[at : at + _PIECE]} for at in range(0, len(text), _PIECE)]
        deltas += [
            {"tool_calls": [{"index": place, "id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": args}}]}
            for place, (name, args) in enumerate(self.tool_calls)
        ]
        deltas += [{"refusal": self.refusal}] if self.refusal else []
        envelope = self._envelope(body, "chat.completion.chunk")
        chunks = [envelope | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append(envelope | {"choices": [{"index": 0, "delta": {}, "finish_reason": self._finish()}]})
        if self.usage is not None and (body.get("stream_options") or {}).get("include_usage"):
            chunks.append(envelope | {"choices": [], "usage": self._usage(body)})
        return chunks

    def _finish(self) -> str:
        return self.finish or ("tool_calls" if self.tool_calls else "stop")

    def _envelope(self, body: dict[str, Any], kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-acted", "object": kind, "created": 0, "model": self.model or body.get("model")}

    def _usage(self, body: dict[str, Any]) -> Any:
        if self.usage != "counted":
            return self.usage
        asked = len(json.dumps(body.get("messages", []))) // 4 + 1
        answered = len(self.content or "") // 4 + sum(len(args) for _, args in self.tool_calls) // 4 + 1
        return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def answer(value: Any, **more: Any) -> Act:
    """An infer node's answer: the value it asked for."""
    return Act(content=json.dumps({"answer": value, "abstain": None}), **more)


def abstain(reason: str, **more: Any) -> Act:
    """An infer node's answer that it cannot tell."""
    return Act(content=json.dumps({"answer": None, "abstain": reason}), **more)


def recorded(entries: Sequence[dict[str, Any]]) -> Callable[[dict[str, Any]], Act]:
    """A script of recorded answers, each by texts that the request's messages contain.

    Entries are `{"when": [TEXT, …], "answer": VALUE}`, or with `"abstain": REASON`, `"content": TEXT` or `"tool_calls": [[NAME, ARGUMENTS], …]`; the
    first one counts that has all of its texts, so an agent's later turns, which hold what its tools gave, stand before the earlier ones.
    Where none fits, HTTP 404. The model's name is `recorded:NAME`, so no record passes them off as live.
    """

    def act(body: dict[str, Any]) -> Act:
        asked = "\n".join(str(message.get("content") or "") for message in body.get("messages", []))
        name = f"recorded:{body.get('model')}"
        for entry in entries:
            if all(text in asked for text in entry["when"]):
                return _act(entry, name)
        return Act(status=404, content="no recorded answer fits this request")

    return act


def _act(entry: dict[str, Any], name: str) -> Act:
    if "tool_calls" in entry:
        calls = tuple((tool, json.dumps(arguments)) for tool, arguments in entry["tool_calls"])
        return Act(content=entry.get("content"), tool_calls=calls, model=name)
    if "content" in entry:
        return Act(content=entry["content"], model=name)
    return abstain(entry["abstain"], model=name) if "abstain" in entry else answer(entry["answer"], model=name)
