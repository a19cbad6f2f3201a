"""The labels of what a call is given, worked out from the run's own record.

A model repeats what it was told, whoever told it, so nothing is concluded from where a value stands in a prompt. An argument counts as vouched for
only where it equals, exactly and by type, a value that somebody vouched for: a field of the input that the workflow declares, an answer of a tool
whose contract says so, a person's answer to a question. How far it may travel does not hang on its value, which can be put into other words: it is as
confidential as the most confidential value that the run has taken in (the high-water mark of Bell and LaPadula, 1976).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from pointsman import canonical
from pointsman.event import Event
from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.label import TRUSTED, UNTRUSTED, Integrity, Label

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s<>\"'`\\]+", re.IGNORECASE)
_AFTER = ".,;:!?)]}"
"""What ends a sentence and not an address."""

ENDORSED = Label(Integrity.ENDORSED)
"""The label of what a person said."""


class Labelling:
    """What the run has been told that somebody vouches for."""

    def __init__(self, inputs: Mapping[str, Label], payload: Callable[[str], Awaitable[Any]], events: Iterable[Event]) -> None:
        self._inputs = inputs
        self._payload = payload
        self._lock = asyncio.Lock()
        self._answers: dict[str, Label] = {}
        """Labels of the answers to calls, by call; none of those that are untrusted and internal."""
        self._unread: list[tuple[str, str, tuple[str, ...], Label]] = []
        """What has a label and was not looked into: its origin, its payload and the path in that."""
        self._origins: dict[str, tuple[Label, frozenset[str]]] = {}
        """The values of each origin."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one event of the chain."""
        fields, payloads = event.fields, event.payloads
        if event.kind == "run.accepted":
            for path, label in self._inputs.items():
                name, *inner = path.split(".")
                if f"input.{name}" in payloads:
                    self._unread.append((f"input {path}", payloads[f"input.{name}"], tuple(inner), label))
        elif event.kind == "call.intent" and "label" in fields:
            self._answers[fields["call"]] = Label.of(fields["label"])
        elif event.kind in ("call.outcome", "call.reconciled") and "result" in payloads:
            answered = self._answers.get(fields["call"])
            if answered is not None:
                vouches = answered.integrity if fields.get("by", "probe") == "probe" else min(ENDORSED.integrity, answered.integrity)
                self._unread.append((f"call {fields['call']}", payloads["result"], (), answered._replace(integrity=vouches)))
        elif event.kind == "ask.decided" and fields["decision"] == "answered":
            self._unread.append((f"answer at {event.position}", payloads["value"], (), ENDORSED))

    async def of(self, request: Request, step: Step) -> dict[str, str]:
        """The labels of what a policy looks at, by path; of an effect those of all its arguments, and its own under the empty path, where the workflow or a tool that has answered declares any."""
        wanted = {path for policy in step.policies for path in policy.labelled(request.target, request.effect)}
        if request.is_effect and (self._inputs or self._answers):
            wanted |= {"", *(name for name, _ in _named(request.public))}
        if not wanted:
            return {}
        async with self._lock:
            while self._unread:
                origin, digest, inner, label = self._unread[0]
                tree = _at(await self._payload(digest), inner)
                self._origins[origin] = (label, frozenset(map(_key, _values(tree))))
                del self._unread[0]
        reach = max((label.confidentiality for label, _ in self._origins.values()), default=UNTRUSTED.confidentiality)
        reach = max(reach, UNTRUSTED.confidentiality)
        vouched = {path: self._call(request) if path == "" else self._argument(request, path) for path in wanted}
        return {path: str(Label(integrity, reach)) for path, integrity in sorted(vouched.items()) if integrity is not None}

    def _call(self, request: Request) -> Integrity:
        sinks = [self._argument(request, name) or Integrity.UNTRUSTED for name in request.sinks]
        texts = (tree for name, tree in _named(request.public) if name not in request.sinks)
        addresses = [self._integrity(address) for tree in texts for address in _addresses(tree)]
        return min([*sinks, *addresses]) if sinks else Integrity.UNTRUSTED

    def _argument(self, request: Request, path: str) -> Integrity | None:
        """Who vouches for an argument, or a part of one; None where there is none."""
        name, *inner = path.split(".")
        if not isinstance(request.public, dict) or name not in request.public:
            return None
        if not inner and name in request.own and _key(request.public[name]) == _key(request.own[name]):
            return TRUSTED.integrity
        tree = _at(request.public[name], inner)
        return None if tree is _NOWHERE else self._integrity(tree)

    def _integrity(self, tree: Any) -> Integrity:
        key = _key(tree)
        said = max((label.integrity for label, values in self._origins.values() if key in values), default=Integrity.UNTRUSTED)
        if said is Integrity.UNTRUSTED and isinstance(tree, list) and tree:
            return min(map(self._integrity, tree))
        return said


_NOWHERE = object()


def _at(tree: Any, path: Iterable[str]) -> Any:
    """The part of an encoded tree at a path; `_NOWHERE` where there is none."""
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return _NOWHERE
        tree = tree[name]
    return tree


def _values(tree: Any) -> Iterator[Any]:
    """A value and all that it consists of; nothing of what says nothing."""
    if tree is _NOWHERE or tree is None or isinstance(tree, bool) or tree in ("", [], {}):
        return
    yield tree
    for part in tree if isinstance(tree, list) else tree.values() if isinstance(tree, dict) and not _is_tagged(tree) else ():
        yield from _values(part)


def _is_tagged(tree: Mapping[str, Any]) -> bool:
    return len(tree) == 1 and next(iter(tree)).startswith("$")


def _key(tree: Any) -> str:
    """One text per value: numbers that are equal are one value, whatever their type."""
    kind = next(iter(tree)) if isinstance(tree, dict) and _is_tagged(tree) else ""
    if kind in ("$decimal", "$int") or (isinstance(tree, int | float) and not isinstance(tree, bool)):
        digits = f"{Decimal(tree[kind] if kind else repr(tree)):f}"
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    return canonical.dumps(tree).decode()


def _named(tree: Any) -> Iterable[tuple[str, Any]]:
    return tree.items() if isinstance(tree, dict) else ()


def _addresses(tree: Any) -> Iterator[str]:
    """The web addresses in the texts of a value."""
    if isinstance(tree, str):
        yield from (found.rstrip(_AFTER) for found in _URL.findall(tree))
    elif isinstance(tree, list | dict):
        for part in tree if isinstance(tree, list) else [*tree, *tree.values()]:
            yield from _addresses(part)
