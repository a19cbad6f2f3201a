"""LangSmith runs: what `Client.list_runs` gave (`trace_id`, `parent_run_id`) and what its successor gives (`project_id`, `parent_run_ids`).

A trace is a tree of runs, in the order of `dotted_order`, else of their begin. `llm` runs are calls of models, `tool` runs calls of tools; the root's
inputs and outputs are the run's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from pointsman.errors import BadInput
from pointsman.evaluation.importing.amount import counted, paid
from pointsman.evaluation.trace import Call, Trace
from pointsman.limit import Spend

_SHAPES = ("trace_id", "parent_run_id", "parent_run_ids", "dotted_order", "project_id", "session_id")


def is_langsmith(documents: list[Any]) -> bool:
    """Whether the documents are runs of LangSmith, or pages of them (`{"runs": […]}`)."""
    runs = list(_flat(documents))
    return bool(runs) and all(isinstance(run, dict) and "run_type" in run and any(name in run for name in _SHAPES) for run in runs)


def traces(documents: list[Any]) -> Iterator[Trace]:
    """A trace for each tree of runs. Raises `BadInput` with what cannot be read."""
    runs = list(_flat(documents))
    by_id = {}
    for run in runs:
        if not isinstance(run.get("id"), str):
            raise BadInput("a run has no id")
        by_id[run["id"]] = run
    trees: dict[str, list[Mapping[str, Any]]] = {}
    for run in by_id.values():
        trees.setdefault(_root(run, by_id), []).append(run)
    for root, members in trees.items():
        yield _trace(root, sorted(members, key=_order), by_id.get(root))


def _flat(documents: list[Any]) -> Iterator[Any]:
    for document in documents:
        if isinstance(document, dict) and isinstance(document.get("runs"), list):
            yield from _flat(document["runs"])
        else:
            yield document
            children = document.get("child_runs") if isinstance(document, dict) else None
            yield from _flat(children or [])


def _root(run: Mapping[str, Any], by_id: Mapping[str, Any]) -> str:
    if run.get("trace_id"):
        return str(run["trace_id"])
    above = _parent(run)
    if isinstance(run.get("parent_run_ids"), list) and run["parent_run_ids"]:
        return str(run["parent_run_ids"][0])  # from the root down
    seen = {run["id"]}
    while above is not None and above in by_id:
        if above in seen:
            raise BadInput(f"run {run['id']} is its own parent")
        seen.add(above)
        run, above = by_id[above], _parent(by_id[above])
    return str(above or run["id"])


def _parent(run: Mapping[str, Any]) -> str | None:
    if run.get("parent_run_id"):
        return str(run["parent_run_id"])
    above = run.get("parent_run_ids")
    return str(above[-1]) if isinstance(above, list) and above else None


def _order(run: Mapping[str, Any]) -> tuple[str, str]:
    return (str(run.get("dotted_order") or ""), str(run.get("start_time") or ""))


def _trace(root: str, members: list[Mapping[str, Any]], top: Mapping[str, Any] | None) -> Trace:
    calls = tuple(_call(run) for run in members if run["run_type"] in ("llm", "tool"))
    first: Mapping[str, Any] = top or members[0]
    missing = ["versions", "effects", "verdicts"]
    if any(call.kind == "model" and call.spend is None for call in calls):
        missing.append("tokens")
    if any(call.spend is not None and not call.spend.usd for call in calls if call.kind == "model"):
        missing.append("prices")
    if top is None:
        missing.append("root run")
    if any(call.arguments is None for call in calls):
        missing.append("inputs")
    if any(call.result is None and call.outcome == "done" for call in calls):
        missing.append("outputs")
    facts = {"inputs": first.get("inputs"), "outputs": first.get("outputs"), "tags": first.get("tags"), "metadata": _metadata(first)}
    return Trace(
        trace_id=root,
        source="langsmith",
        graph=str(first.get("name") or ""),
        task=first.get("reference_example_id") or None,
        outcome=_outcome(first),
        began=first.get("start_time"),
        ended=first.get("end_time"),
        calls=calls,
        facts={name: value for name, value in facts.items() if value},
        missing=tuple(missing),
    )


def _outcome(run: Mapping[str, Any]) -> str | None:
    status = str(run.get("status") or "").lower()
    if run.get("error") or status == "error":
        return "failed"
    return "done" if status == "success" or run.get("end_time") else None


def _metadata(run: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = run.get("extra")
    found = (extra or {}).get("metadata") if isinstance(extra, Mapping) else None
    return found or run.get("metadata") or {}


def _call(run: Mapping[str, Any]) -> Call:
    metadata = _metadata(run)
    is_model = run["run_type"] == "llm"
    parameters = ((run.get("extra") or {}).get("invocation_params") or {}) if isinstance(run.get("extra"), Mapping) else {}
    model = metadata.get("ls_model_name") or parameters.get("model") or parameters.get("model_name") or run.get("name")
    provider = metadata.get("ls_provider")
    error = run.get("error")
    return Call(
        kind="model" if is_model else "tool",
        target=(f"{provider}:{model}" if provider else str(model)) if is_model else str(run.get("name")),
        arguments=run.get("inputs"),
        result=_output(run),
        error=str(error) if error else None,
        outcome="failed" if _outcome(run) == "failed" else "done",
        node=str(metadata.get("langgraph_node") or ""),
        spend=_spend(run, is_model=is_model),
    )


def _output(run: Mapping[str, Any]) -> Any:
    outputs = run.get("outputs")
    if run["run_type"] != "tool" or not isinstance(outputs, Mapping) or set(outputs) != {"output"}:
        return outputs
    output = outputs["output"]
    # A ToolMessage, as LangChain serialises it: its content is what the tool answered.
    inner = output.get("kwargs", output) if isinstance(output, Mapping) else None
    return inner["content"] if isinstance(inner, Mapping) and "content" in inner else output


def _spend(run: Mapping[str, Any], *, is_model: bool) -> Spend | None:
    if not is_model:
        return Spend(tool_calls=1)
    tokens = run.get("total_tokens")
    if tokens is None:
        tokens = _usage(run.get("outputs"))
    if tokens is None:
        return None
    cost = run.get("total_cost")
    return Spend(model_calls=1, tokens=counted(tokens), usd=paid(cost) if cost is not None else Decimal(0))


def _usage(tree: Any) -> int | None:
    """`usage_metadata.total_tokens` of the message in an output, wherever LangChain put it."""
    if isinstance(tree, Mapping):
        usage = tree.get("usage_metadata")
        if isinstance(usage, Mapping) and isinstance(usage.get("total_tokens"), int):
            return int(usage["total_tokens"])
        tree = list(tree.values())
    if isinstance(tree, list):
        return next((found for item in tree if (found := _usage(item)) is not None), None)
    return None
