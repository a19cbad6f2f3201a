"""Where two canonical records part: the first differences by cause, each with its class and a diff that a person can read.

A step whose input is the same in both records and that did something else is where a difference begins; what differs because its input
does is a consequence and is not listed. So parallel branches may have several, and a change in one node is told at that node alone.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pointsman.evidence import value_digest

Class = Literal["benign", "argument", "tool_choice", "route", "effect", "policy", "missing", "unused", "output"]
"""What is different. `benign`: only white space, or the order of things without an order. `argument`: the same call with other arguments.
`tool_choice`: another call. `effect`: an effect made, left out or answered otherwise. `policy`: another verdict, rule or limit. `missing`: a call that is
not on record. `unused`: a recorded call that was not made. `route`: another way on. `output`: another result of the node's own code."""

LINES = 40
"""How many lines of a diff are kept."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """One place where a difference begins."""

    position: str
    """The step's position; empty for the run itself."""
    kind: Class
    what: str
    """In one line, what is different."""
    diff: tuple[str, ...] = ()
    """Lines of `- recorded` and `+ replayed`, each with the place in the value it is about."""

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return {"position": self.position, "class": self.kind, "what": self.what, "diff": list(self.diff)}


@dataclass(frozen=True, slots=True)
class Besides:
    """What two canonical records do not say, and what it takes to tell a difference."""

    trees: Iterable[Any]
    """The values that the records name by digest."""
    effects: frozenset[str] = frozenset()
    """The tools that change the world."""
    halted: str = ""
    """The position at which the replay could not go on; siblings of that step were cut short and say nothing."""
    questions: Mapping[str, str] = field(default_factory=dict)
    """The rule of each question at which the replay waits, by position."""


def divergences(recorded: Mapping[str, Any], replayed: Mapping[str, Any], besides: Besides) -> tuple[Divergence, ...]:
    """The minimal divergences of two canonical records; empty where they are equal."""
    return _Comparison(recorded, replayed, besides).minimal()


class _Comparison:
    def __init__(self, recorded: Mapping[str, Any], replayed: Mapping[str, Any], besides: Besides) -> None:
        self._runs = (recorded["run"], replayed["run"])
        waits: Mapping[str, Any] = {
            position: {"input": {}} for position in besides.questions
        }  # a step within an agent says nothing before its call is made
        self._steps: tuple[Mapping[str, Any], Mapping[str, Any]] = (recorded["steps"], {**waits, **replayed["steps"]})
        self._effects, self._halted, self._questions = besides.effects, besides.halted, besides.questions
        self._trees = {value_digest(tree): tree for tree in besides.trees}

    def minimal(self) -> tuple[Divergence, ...]:
        before, after = self._steps
        differing = [position for position in sorted({*before, *after}) if before.get(position) != after.get(position)]
        begun = [position for position in differing if self._begins_here(position)]
        # The step that runs a graph differs because a step within it does.
        begun = [
            position for position in begun if not any(other.startswith(f"{_instance(position)}") and other != position for other in begun)
        ]
        found = [self._step(position) for position in begun]
        if not found and differing:
            found = [self._only(position) for position in differing if position not in before or position not in after][:1]
            found = found or [self._step(differing[0])]
        if not found and self._runs[0] != self._runs[1]:
            found = [self._run()]
        return tuple(found)

    def _begins_here(self, position: str) -> bool:
        one, other = (steps.get(position) for steps in self._steps)
        if one is None or other is None or one.get("input") != other.get("input"):
            return False
        told = other.get("calls", [])
        cut_short = self._halted and "exit" not in other and one.get("calls", [])[: len(told)] == told
        return not cut_short or position in (self._halted, *self._questions)

    def _only(self, position: str) -> Divergence:
        where = "was recorded and not reached" if position in self._steps[0] else "was reached and is not on record"
        return Divergence(position, "route", f"the step {where}")

    def _run(self) -> Divergence:
        one, other = self._runs
        if one.get("exit") != other.get("exit"):
            return Divergence("", "route", f"the run ended {other.get('exit')} instead of {one.get('exit')}")
        return Divergence("", "output", "the final state is another", self._fields(one, other, "output"))

    def _step(self, position: str) -> Divergence:
        one, other = (steps[position] for steps in self._steps)
        calls = (one.get("calls", []), other.get("calls", []))
        for number, (before, after) in enumerate(zip(*calls, strict=False)):
            if before != after:
                return self._call(position, before, after, (calls[0][number:], calls[1][number:]))
        if len(calls[0]) != len(calls[1]):
            return self._left_over(position, *calls)
        if one.get("exit") != other.get("exit"):
            return Divergence(position, "route", f"it ended by {other.get('exit')} instead of {one.get('exit')}")
        if one.get("routes") != other.get("routes"):
            return Divergence(position, "route", f"it led to {_targets(other)} instead of {_targets(one)}")
        names = [
            name for name in {**one.get("output", {}), **other.get("output", {})} if one["output"].get(name) != other["output"].get(name)
        ]
        diff = self._fields(one, other, "output")
        kind: Class = "benign" if all(self._alike(one["output"].get(name), other["output"].get(name)) for name in names) else "output"
        return Divergence(position, kind, f"it gave another {', '.join(sorted(names))}", diff)

    def _call(self, position: str, before: Any, after: Any, rest: tuple[Sequence[Any], Sequence[Any]]) -> Divergence:
        if before["target"] != after["target"] or before["request"] != after["request"]:
            return self._other_call(position, before, after, rest)
        if any(before.get(name) != after.get(name) for name in ("verdict", "rule")) or "limit" in (before["outcome"], after["outcome"]):
            what = f"{after['target']}: {_verdict(after)} instead of {_verdict(before)}"
            return Divergence(position, "policy", what)
        kind: Class = "effect" if before["target"] in self._effects else "output"
        what = f"{after['target']} ended {after['outcome']} instead of {before['outcome']}" if before["outcome"] != after["outcome"] else ""
        return Divergence(
            position, kind, what or f"{after['target']} answered otherwise", self._diff(before.get("result"), after.get("result"), "result")
        )

    def _other_call(self, position: str, before: Any, after: Any, rest: tuple[Sequence[Any], Sequence[Any]]) -> Divergence:
        if _multiset(rest[0]) == _multiset(rest[1]):
            return Divergence(position, "benign", "the same calls in another order")
        if before["target"] == after["target"]:
            diff = self._diff(before["request"], after["request"], "")
            alike = self._alike(before["request"], after["request"])
            return Divergence(position, "benign" if alike else "argument", f"{after['target']} was called with other arguments", diff)
        kind: Class = "effect" if before["target"] in self._effects or after["target"] in self._effects else "tool_choice"
        return Divergence(position, kind, f"{after['target']} was called instead of {before['target']}", self._shown(before, after))

    def _left_over(self, position: str, before: Sequence[Any], after: Sequence[Any]) -> Divergence:
        if position in self._questions:
            target = before[len(after)]["target"] if len(before) > len(after) else "a question"
            return Divergence(position, "policy", f"{target} waits for a person, by rule {self._questions[position]}")
        extra = after[len(before) :] or before[len(after) :]
        call, more = extra[0], len(after) > len(before)
        kind: Class = "effect" if call["target"] in self._effects else "missing" if more else "unused"
        what = f"{call['target']} was called, which is not on record" if more else f"{call['target']} is on record and was not called"
        return Divergence(position, kind, what, self._shown(None if more else call, call if more else None))

    def _shown(self, before: Any, after: Any) -> tuple[str, ...]:
        lines = [f"{sign} {call['target']}({_flat(self._tree(call['request']))})" for sign, call in (("-", before), ("+", after)) if call]
        return tuple(lines)

    def _fields(self, one: Mapping[str, Any], other: Mapping[str, Any], part: str) -> tuple[str, ...]:
        before, after = one.get(part, {}), other.get(part, {})
        names = sorted(name for name in {**before, **after} if before.get(name) != after.get(name))
        return tuple(line for name in names for line in self._diff(before.get(name), after.get(name), name))[:LINES]

    def _tree(self, digest: str | None) -> Any:
        return self._trees.get(digest or "")

    def _diff(self, before: str | None, after: str | None, where: str) -> tuple[str, ...]:
        return tuple(differences(self._tree(before), self._tree(after), where))[:LINES]

    def _alike(self, before: str | None, after: str | None) -> bool:
        alike: bool = _loose(self._tree(before)) == _loose(self._tree(after))
        return alike


def differences(before: Any, after: Any, where: str = "") -> Iterable[str]:
    """Lines that say where two encoded trees differ: the path, `-` what was recorded, `+` what came now; of long texts only the lines that differ."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from differences(before.get(name), after.get(name), f"{where}.{name}" if where else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{where}[{number}]")
    elif isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0):
            if not line.startswith(("---", "+++", "@@")):
                yield f"{line[0]} {where}: {line[1:][:400]}"
    else:
        yield f"- {where}: {_flat(before)}"
        yield f"+ {where}: {_flat(after)}"


def _instance(position: str) -> str:
    return f"{position}/"


def _verdict(call: Mapping[str, Any]) -> str:
    if call["outcome"] == "missed":
        return "let pass, with no answer on record,"
    said = str(call.get("verdict", call["outcome"])) + (f" by rule {call['rule']}" if call.get("rule") else "")
    return said if call["outcome"] in ("done", "failed", "unknown") else f"{said}, {call['outcome']}"


def _targets(step: Mapping[str, Any]) -> str:
    return ", ".join(dict.fromkeys(target for route in step.get("routes", ()) for target in route["to"])) or "nowhere"


def _multiset(calls: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((call["target"], call["request"]) for call in calls)


def _flat(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=False, sort_keys=True)[:400]


def _loose(tree: Any) -> Any:
    """A tree without what rarely means anything: runs of white space, the order of lists."""
    if isinstance(tree, dict):
        return {name: _loose(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return sorted((_loose(item) for item in tree), key=lambda item: json.dumps(item, sort_keys=True))
    return re.sub(r"\s+", " ", tree).strip() if isinstance(tree, str) else tree
