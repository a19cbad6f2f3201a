"""OpenTelemetry spans as OTLP JSON, with the attributes of the GenAI semantic conventions.

`gen_ai.operation.name` says what a span is: `chat`, `text_completion` and `generate_content` call a model, `execute_tool` a tool, `invoke_agent` holds
others. Contents are opt-in there, so they are often missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pointsman.errors import BadInput
from pointsman.evaluation.importing.amount import counted
from pointsman.evaluation.trace import Call, Trace
from pointsman.limit import Spend

_MODELS = ("chat", "text_completion", "generate_content")

_ASKED = ("gen_ai.tool.call.arguments", "gen_ai.input.messages", "gen_ai.prompt", "input.value")
_ANSWERED = ("gen_ai.tool.call.result", "gen_ai.output.messages", "gen_ai.completion", "output.value")
"""Where contents stand: the conventions' own attributes, an older form of them, OpenInference's."""


def is_otlp(documents: list[Any]) -> bool:
    """Whether the documents are OTLP export requests."""
    return bool(documents) and all(isinstance(found, dict) and isinstance(found.get("resourceSpans"), list) for found in documents)


def traces(documents: list[Any]) -> Iterator[Trace]:
    """A trace for each trace id. Raises `BadInput` with what cannot be read."""
    found: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        for resource in document["resourceSpans"]:
            for scope in resource.get("scopeSpans", ()):
                for span in scope.get("spans", ()):
                    if not isinstance(span.get("traceId"), str) or not isinstance(span.get("spanId"), str):
                        raise BadInput("a span has no traceId or spanId")
                    told = {"resource": _attributes(resource.get("resource", {})), "attributes": _attributes(span)}
                    found.setdefault(span["traceId"], []).append({**span, **told})
    for trace_id, spans in found.items():
        yield _trace(trace_id, sorted(spans, key=lambda span: int(span.get("startTimeUnixNano") or 0)))


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["key"]: _value(entry.get("value", {})) for entry in holder.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Any:
    """The value of an OTLP `AnyValue`; whole numbers come as text there."""
    if len(value) != 1:
        return None
    ((kind, content),) = value.items()
    if kind == "intValue":
        return int(content)
    if kind == "arrayValue":
        return [_value(item) for item in content.get("values", ())]
    if kind == "kvlistValue":
        return {entry["key"]: _value(entry.get("value", {})) for entry in content.get("values", ())}
    return content


def _trace(trace_id: str, spans: list[dict[str, Any]]) -> Trace:
    calls = tuple(call for span in spans if (call := _call(span)) is not None)
    ids = {span["spanId"] for span in spans}
    roots = [span for span in spans if span.get("parentSpanId", "") not in ids]
    top = roots[0]
    missing = ["versions", "effects", "verdicts", "prices"]
    if any(call.kind == "model" and call.spend is None for call in calls):
        missing.append("tokens")
    if any(call.arguments is None for call in calls):
        missing.append("inputs")
    if any(call.result is None and call.outcome == "done" for call in calls):
        missing.append("outputs")
    if top.get("parentSpanId"):
        missing.append("root run")
    attributes = top["attributes"]
    return Trace(
        trace_id=trace_id,
        source="otlp",
        graph=str(attributes.get("gen_ai.workflow.name") or attributes.get("gen_ai.agent.name") or top.get("name") or ""),
        outcome="failed" if _failed(top) else "done",
        began=_instant(top.get("startTimeUnixNano")),
        ended=_instant(max((int(span.get("endTimeUnixNano") or 0) for span in spans), default=0)),
        calls=calls,
        facts={"resource": top["resource"], "attributes": attributes},
        missing=tuple(missing),
    )


def _call(span: Mapping[str, Any]) -> Call | None:
    attributes: Mapping[str, Any] = span["attributes"]
    operation = attributes.get("gen_ai.operation.name") or attributes.get("langsmith.span.kind")
    is_model = operation in (*_MODELS, "llm")
    if not is_model and operation not in ("execute_tool", "tool"):
        return None
    provider = attributes.get("gen_ai.provider.name") or attributes.get("gen_ai.system")
    model = attributes.get("gen_ai.request.model") or attributes.get("gen_ai.response.model") or span.get("name")
    failed = _failed(span)
    return Call(
        kind="model" if is_model else "tool",
        target=(f"{provider}:{model}" if provider else str(model))
        if is_model
        else str(attributes.get("gen_ai.tool.name") or span.get("name")),
        arguments=_content(attributes, _ASKED),
        result=_content(attributes, _ANSWERED),
        error=str(span.get("status", {}).get("message") or attributes.get("error.type") or "failed") if failed else None,
        outcome="failed" if failed else "done",
        node=str(attributes.get("langsmith.metadata.langgraph_node") or ""),
        spend=_spend(attributes) if is_model else Spend(tool_calls=1),
    )


def _failed(span: Mapping[str, Any]) -> bool:
    return span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")


def _content(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    found = next((attributes[name] for name in names if name in attributes), None)
    if not isinstance(found, str):
        return found
    try:
        return json.loads(found)
    except ValueError:
        return found


def _spend(attributes: Mapping[str, Any]) -> Spend | None:
    counts = [attributes.get(f"gen_ai.usage.{name}_tokens") for name in ("input", "output")]
    if all(count is None for count in counts):
        counts = [attributes.get(f"gen_ai.usage.{name}_tokens") for name in ("prompt", "completion")]
    if all(count is None for count in counts):
        return None
    return Spend(model_calls=1, tokens=sum(counted(count or 0) for count in counts))


def _instant(nanoseconds: Any) -> str | None:
    if not nanoseconds:
        return None
    return datetime.fromtimestamp(int(nanoseconds) / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
