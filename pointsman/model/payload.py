"""What a model is really sent, in the form that digests cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, message_to_dict
from langchain_core.utils.function_calling import convert_to_openai_function

from pointsman import canonical

_DELIVERY = ("stream", "stream_options", "extra_headers", "timeout")
"""How an answer travels, not what was asked."""

_OUTPUT_CAPS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def payload_of(model: BaseChatModel, messages: Sequence[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the request as an encoded tree. Raises `BadInput` where a part of it has no canonical form."""
    build = getattr(model, "_get_request_payload", None)
    if build is not None:
        body: dict[str, Any] = dict(build(list(messages), stop=stop, **options))
    else:
        body = {**model.asdict(), "messages": [_without_id(one) for one in messages], "stop": stop, **options}
    if isinstance(body.get("response_format"), type):
        body["response_format"] = _response_format(body["response_format"])
    tree: dict[str, Any] = canonical.encode({name: part for name, part in body.items() if name not in _DELIVERY})
    return tree


def output_cap(payload: Mapping[str, Any]) -> int | None:
    """The most tokens the answer may have by the request itself; None where nothing bounds them."""
    caps = [payload[name] for name in _OUTPUT_CAPS if type(payload.get(name)) is int]
    return min(caps) * int(payload.get("n") or 1) if caps else None


def _response_format(wanted: type) -> dict[str, Any]:
    function = convert_to_openai_function(wanted, strict=True)
    return {"type": "json_schema", "json_schema": {"name": function["name"], "schema": function["parameters"], "strict": True}}


def _without_id(one: BaseMessage) -> dict[str, Any]:
    told: dict[str, Any] = message_to_dict(one)
    told["data"] = {name: part for name, part in told["data"].items() if name not in ("id", "response_metadata", "usage_metadata")}
    return told
