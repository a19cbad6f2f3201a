"""Whether the outside still answers as it did: the calls of recorded runs made again, and how answers differ from those on record.

What reads is called again as it is. What writes is called again only on a copy (`Reachable.writes`), since what is read after it depends on it; elsewhere
answers after a run's first write are compared all the same, and say so (`Changed.after_write`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pointsman import canonical
from pointsman.body import contained
from pointsman.errors import BadInput, ToolFailed, Unavailable
from pointsman.evaluation.trace import Call, Trace
from pointsman.tool import Contract, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """Tools that may be called again, and what they speak to meanwhile."""

    tools: Sequence[Tool]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Entered for each run: a fresh copy of the outside, where there is one."""
    writes: bool = False
    """Whether the outside is a copy, so that writes may be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One answer that is not the recorded one."""

    trace_id: str
    place: int
    """Which of the run's calls it is, from 0."""
    target: str
    changes: tuple[str, ...]
    """What changed in the form of the answer, or `value PATH` where only a value did."""
    after_write: bool
    """Whether the run had written something before that was not written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What became of the answers of recorded runs."""

    answers: int
    """Calls that were made again."""
    left: dict[str, int]
    """Calls that were not, by tool: writes, tools that are not at hand."""
    changed: tuple[Changed, ...]
    runs: int

    @property
    def stale(self) -> tuple[str, ...]:
        """The runs whose record holds an answer that the outside would not give any more: their cases are to be recorded anew."""
        return tuple(dict.fromkeys(one.trace_id for one in self.changed))

    def data(self) -> dict[str, Any]:
        """As plain data."""
        tools: dict[str, Any] = {}
        for one in self.changed:
            told = tools.setdefault(one.target, {"answers": 0, "changes": Counter()})
            told["answers"] += 1
            told["changes"].update(one.changes)
        shown = {name: {"answers": told["answers"], "changes": dict(told["changes"].most_common())} for name, told in sorted(tools.items())}
        return {
            "runs": self.runs, "answers": self.answers, "same": self.answers - len(self.changed), "drifted": len(self.changed),
            "tools": shown, "stale": list(self.stale), "not_called": self.left,
        }  # fmt: skip


async def drift(traces: Iterable[Trace], reachable: Reachable) -> Drift:
    """Make the calls of recorded runs again, in their order, and compare.

    Raises `BadInput` where none of their tools is at hand, `Unavailable` where what one speaks to is not there: that is no answer that could differ.
    """
    contracts = {tool.name: tool.contract for tool in reachable.tools}
    changed: list[Changed] = []
    left: Counter[str] = Counter()
    runs = answers = 0
    for trace in traces:
        runs += 1
        wrote = False
        with reachable.around():
            for place, call in enumerate(trace.tool_calls):
                contract = contracts.get(call.target)
                may = contract is not None and (reachable.writes or not contract.is_effect)
                if contract is None or not may or call.outcome not in ("done", "failed"):
                    left[call.target] += 1
                    wrote = wrote or (contract is None or contract.is_effect)
                    continue
                answers += 1
                changes = differing(call.result if call.error is None else f"Error: {call.error}", await _answer(contract, call))
                if changes:
                    changed.append(
                        Changed(trace_id=trace.trace_id, place=place, target=call.target, changes=tuple(changes), after_write=wrote)
                    )
    if not answers:
        raise BadInput("no call of these runs could be made again", undone="nothing was compared", remedy="name the tools that they called")
    return Drift(answers=answers, left=dict(left), changed=tuple(changed), runs=runs)


def differing(before: Any, after: Any) -> list[str]:
    """How an answer differs from the one on record: fields added, removed, renamed (another name for the same value), of another type; else values.

    Texts that are JSON are read; items of lists are compared place by place and told as `[]`. Empty where both are equal byte for byte.
    """
    if before == after:
        return []
    one, other = _read(before), _read(after)
    found = list(dict.fromkeys(_differing(one, other, "")))
    return found or ["layout"]


async def _answer(contract: Contract, call: Call) -> Any:
    try:
        made = await contained(contract.perform(contract.validate(canonical.decode(call.arguments)), ""))
    except Unavailable as error:
        raise Unavailable(
            f"{contract.name} reaches nothing: {error.what}",
            undone="nothing was compared",
            remedy="have what it speaks to there, or name a pointsman.evaluation.drift.Reachable, whose around= brings it for each run",
        ) from error
    except (ValidationError, ToolFailed) as error:
        return f"Error: {error}"
    return canonical.encode(made)


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _differing(before: Any, after: Any, path: str) -> Iterable[str]:
    if before == after:
        return
    here = path or "answer"
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _names(before, after, path)
        for name in before:
            if name in after:
                yield from _differing(before[name], after[name], _at(path, name))
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"length {here}"
        for one, other in zip(before, after, strict=False):
            yield from _differing(one, other, f"{path}[]")
    elif type(before) is not type(after):
        yield f"type {here}: {type(before).__name__} to {type(after).__name__}"
    else:
        yield f"value {here}"


def _names(before: dict[str, Any], after: dict[str, Any], path: str) -> Iterable[str]:
    """Fields that came, went, or have another name for the same value."""
    new = [name for name in after if name not in before]
    for name, value in before.items():
        if name in after:
            continue
        twin = next((other for other in new if after[other] == value), None)
        if twin is None:
            yield f"removed {_at(path, name)}"
        else:
            new.remove(twin)
            yield f"renamed {_at(path, name)} to {twin}"
    yield from (f"added {_at(path, name)}" for name in new)


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
