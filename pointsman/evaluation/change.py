"""Exactly one thing that is different from what was recorded: a node, its prompt or model, the policy, a cap, one answer, one decision."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args

from pointsman import canonical
from pointsman.controlled import Controlled
from pointsman.errors import BadInput
from pointsman.evaluation.playback import Variation
from pointsman.limit import Limits
from pointsman.node import Node
from pointsman.node.code import code
from pointsman.node.prompt import Prompt
from pointsman.policy import Policy

Kind = Literal["node", "prompt", "model", "policy", "limit", "result", "decision"]


@dataclass(frozen=True, slots=True)
class Change:
    """What is changed, where, and into what.

    `node`: at a node's name, a function or `Node`. `prompt`: at a node's name, a text or a file of the project. `model`: at a node's name, `openai:NAME`
    or a chat model. `policy`: a `Policy`. `limit`: at the name of a cap of the run, a number. `result`: at `POSITION:TOOL`, what the tool answered,
    encoded. `decision`: at the position of a question, `approved`, `rejected`, or the value that a person gave.
    """

    kind: Kind
    at: str
    value: Any

    @classmethod
    def of(cls, text: str, look_up: Callable[[str], Any]) -> Change:
        """The change that `KIND[:AT]=VALUE` describes; `look_up` finds what MODULE:NAME stands for. Raises `BadInput`."""
        left, equals, value = text.partition("=")
        kind, _, at = left.partition(":")
        if not equals or kind not in get_args(Kind) or (kind != "policy") != bool(at):
            raise BadInput(
                f"--change {text!r} says no change", undone="nothing was replayed",
                remedy="prompt:NODE=TEXT, model:NODE=openai:NAME, node:NODE=MODULE:NAME, policy=MODULE:NAME, limit:CAP=NUMBER, result:POSITION:TOOL=JSON or decision:POSITION=VALUE",
            )  # fmt: skip
        if kind in ("node", "policy"):
            return cls(kind, at, look_up(value))  # type: ignore[arg-type]
        return cls(kind, at, value if kind in ("prompt", "model") else _parsed(kind, value))  # type: ignore[arg-type]

    def variation(self, graph: Controlled, **besides: Any) -> Variation:
        """The change as a stage takes it; `besides` are other fields of `Variation`. Raises `BadInput` where it does not fit the graph."""
        rules = graph.plan.rules
        if self.kind == "policy":
            if not isinstance(self.value, Policy):
                raise self._refused("is no Policy")
            return Variation(rules=replace(rules, policy=self.value), instead=_governed(rules.policy, self.value), **besides)
        if self.kind == "limit":
            if self.at not in {field.name for field in fields(Limits)}:
                raise self._refused("is no cap")
            return Variation(rules=replace(rules, limits=replace(rules.limits, **{self.at: self.value})), limits=False, **besides)
        if self.kind == "result":
            position, _, target = self.at.rpartition(":")
            return Variation(results={(position, target): canonical.encode(self.value)}, **besides)
        if self.kind == "decision":
            return Variation(decisions={self.at: canonical.encode(self.value)}, **besides)
        found = next((part for part in graph.parts if part.name == self.at), None)
        if found is None:
            raise self._refused(f"is no node; nodes: {', '.join(part.name for part in graph.parts)}")
        changed = self._node(found)
        return Variation(instead=lambda node: changed if node is found else node, **besides)

    def _node(self, node: Node) -> Node:
        version = f"{node.version} {self.kind}"
        if self.kind == "node":
            new = self.value if isinstance(self.value, Node) else replace(node, subject=self.value, execute=code(self.value).execute)
            kept = ("name", "max_visits", "max_items", "routes", "targets", "edges", "policies", "schema", "around")
            return replace(new, version=version, **{name: getattr(node, name) for name in kept})
        running: Any = copy.copy(node.execute)
        if not hasattr(running, "prompt"):
            raise self._refused(f"is a {node.kind} node, which has no {self.kind}")
        if self.kind == "prompt":
            running.prompt = Prompt.of(self.value, node.reads or ())
        running.node = replace(node, execute=running, version=version, model=self.value if self.kind == "model" else node.model)
        changed: Node = running.node
        return changed

    def _refused(self, what: str) -> BadInput:
        return BadInput(f"change {self.kind}: {self.at or self.value!r} {what}", undone="nothing was replayed")


def _governed(old: Policy, new: Policy) -> Callable[[Node], Node]:
    """Every node under the new policy where it stood under the old one."""
    kept: dict[int, Node] = {}

    def instead(node: Node) -> Node:
        if id(node) not in kept:
            kept[id(node)] = replace(node, policies=tuple(new if policy is old else policy for policy in node.policies))
        return kept[id(node)]

    return instead


def _parsed(kind: str, text: str) -> Any:
    if kind == "limit":
        try:
            amount = Decimal(text)
            return int(amount) if amount == int(amount) else amount
        except (InvalidOperation, ValueError, OverflowError) as error:
            raise BadInput(f"{text!r} is no number", undone="nothing was replayed", remedy="limit:tool_calls=3") from error
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError:
        return text
