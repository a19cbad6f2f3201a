"""The labels of what a call is given, worked out from the run's own record.

A model repeats what it was told, whoever told it, so nothing is concluded from where a value stands in a prompt. An argument counts as vouched for
only where it equals, exactly and by type, a value that somebody vouched for: a field of the input that the workflow declares, an answer of a tool
whose contract says so, a person's answer to a question. How far it may travel does not hang on its value, which can be put into other words: it is as
confidential as the most confidential value that the run has taken in (the high-water mark of Bell and LaPadula, 1976).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pointsman import canonical
from pointsman.event import Event
from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.label import UNTRUSTED, Confidentiality, Integrity, Label

# From the first letter that can be one of a scheme, so that no text is gone over more than twice; and `\\` is `//` to a browser.
_URL = re.compile(r"(?<![a-z0-9+.-])(?:[a-z0-9+.-]+:)?[/\\]{2}[^\s<>\"]+", re.IGNORECASE)
_AFTER = ".,;:!?)]}'`"
"""What ends a sentence or a quotation, and not an address."""

_TURN = 4096
"""After so many values others have their turn."""


class Reach:
    """How confidential the most confidential is that a run has taken in, and the runs that left it the state of their thread."""

    def __init__(self, inputs: Mapping[str, Label], events: Iterable[Event]) -> None:
        self.highest = UNTRUSTED.confidentiality
        self._inputs = inputs
        self._asked: dict[str, Confidentiality] = {}
        """What the answers to calls are, by call."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one event of the chain."""
        fields = event.fields
        if event.kind in ("run.accepted", "run.repaired"):  # what a rerun puts in an input's place is as confidential as that
            given = {**event.named("input."), **event.named("patch.")}
            held = [label.confidentiality for path, label in self._inputs.items() if path.partition(".")[0] in given]
            self.highest = max(self.highest, Confidentiality(fields.get("reach", self.highest)), *held)
        elif event.kind == "call.intent" and "label" in fields:
            self._asked[fields["call"]] = Label.of(fields["label"]).confidentiality
        elif event.kind in ("call.outcome", "call.reconciled"):  # what a tool says of its failure, too
            self.highest = max(self.highest, self._asked.get(fields["call"], self.highest))


class Labelling:
    """What the run has been told that somebody vouches for."""

    def __init__(self, inputs: Mapping[str, Label], payload: Callable[[str], Awaitable[Any]], events: Iterable[Event]) -> None:
        self._inputs = inputs
        self._payload = payload
        self._lock = asyncio.Lock()
        self._reach = Reach(inputs, ())
        self._answers: dict[str, Integrity] = {}
        """Who vouches for the answers to calls, by call; of tools that have a label."""
        self._unread: list[tuple[str, str, tuple[str, ...], Integrity]] = []
        """What somebody vouches for and was not looked into: its origin, its payload and the path in that."""
        self._origins: dict[str, tuple[Integrity, frozenset[bytes]]] = {}
        """The values of each origin, by their keys."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one event of the chain."""
        self._reach.add(event)
        fields, payloads = event.fields, event.payloads
        if event.kind == "run.accepted":
            for path, label in self._inputs.items():
                name, *inner = path.split(".")
                self._vouched(f"input {path}", payloads.get(f"input.{name}"), tuple(inner), label.integrity)
        elif event.kind == "call.intent" and "label" in fields:
            # A look for a card is asked with the very arguments that are in question, and likely repeats them.
            self._answers[fields["call"]] = Integrity.UNTRUSTED if "aside" in fields else Label.of(fields["label"]).integrity
        elif event.kind in ("call.outcome", "call.reconciled") and fields["call"] in self._answers:
            by = self._answers[fields["call"]]
            is_told = event.kind == "call.reconciled" and "by" in fields  # by a person, and not by the tool's own probe
            self._vouched(f"call {fields['call']}", payloads.get("result"), (), min(by, Integrity.ENDORSED) if is_told else by)
        elif event.kind == "ask.decided" and fields["decision"] == "answered":
            self._vouched(f"answer at {event.position}", payloads["value"], (), Integrity.ENDORSED)

    def _vouched(self, origin: str, payload: str | None, inner: tuple[str, ...], by: Integrity) -> None:
        if payload is not None and by > Integrity.UNTRUSTED:
            self._unread.append((origin, payload, inner, by))

    async def of(self, request: Request, step: Step) -> dict[str, str]:
        """The labels of what a policy looks at, by path; of an effect those of all its arguments, and its own under the empty path, where the workflow or a tool that has answered declares any."""
        if request.invalid:  # it is denied; and names that a model makes up do not belong on record
            return {}
        wanted = {path for policy in step.policies for path in policy.labelled(request.target, request.effect)}
        if request.is_effect and (self._inputs or self._answers or self._reach.highest > UNTRUSTED.confidentiality):
            wanted |= {"", *(name for name, _ in _named(request.public))}
        if not wanted:
            return {}
        await self._read()
        wanted |= {path.partition(".")[0] for path in wanted}
        vouched = {path: self._call(request) if path == "" else self._argument(request, path) for path in wanted}
        return {path: str(Label(integrity, self._reach.highest)) for path, integrity in sorted(vouched.items()) if integrity is not None}

    async def _read(self) -> None:
        """Look into what was not looked into."""
        async with self._lock:
            while self._unread:
                origin, digest, inner, by = self._unread[0]
                tree = _at(await self._payload(digest), inner)
                known: set[bytes] = set()
                for count, key in enumerate(() if tree is _NOWHERE else _keys(tree)):
                    known.add(key)
                    if count % _TURN == _TURN - 1:
                        await asyncio.sleep(0)
                self._origins[origin] = (by, frozenset(known))
                del self._unread[0]

    def _call(self, request: Request) -> Integrity:
        if not request.sinks:
            return Integrity.UNTRUSTED
        sinks = [self._argument(request, name) or Integrity.UNTRUSTED for name in request.sinks]
        texts = (tree for name, tree in _named(request.public) if name not in request.sinks)
        return min([*sinks, *(self._weighed(address)[1] for tree in texts for address in _addresses(tree))])

    def _argument(self, request: Request, path: str) -> Integrity | None:
        """Who vouches for an argument, or a part of one; None where there is none."""
        name, *inner = path.split(".")
        if not isinstance(request.public, dict) or name not in request.public:
            return Integrity.UNTRUSTED if not inner and name in request.typed else None
        tree = _at(request.public[name], inner)
        if tree is _NOWHERE:
            return None
        key, said = self._weighed(tree)
        return Integrity.TRUSTED if not inner and name in request.own and key == self._weighed(request.own[name])[0] else said

    def _weighed(self, tree: Any) -> tuple[bytes, Integrity]:
        """The key of a value, and who vouches for it."""
        parts = [self._weighed(part) for part in _parts(tree)]
        key = _key(tree, [key for key, _ in parts])
        said = max((by for by, values in self._origins.values() if key in values), default=Integrity.UNTRUSTED)
        if said is Integrity.UNTRUSTED and isinstance(tree, list) and parts:
            return key, min(below for _, below in parts)
        return key, said


_NOWHERE = object()


def _at(tree: Any, path: Iterable[str]) -> Any:
    """The part of an encoded tree at a path; `_NOWHERE` where there is none."""
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return _NOWHERE
        tree = tree[name]
    return tree


def _parts(tree: Any) -> Sequence[Any]:
    """What a value consists of, in an order of its own."""
    if isinstance(tree, list):
        return tree
    return [tree[name] for name in sorted(tree)] if isinstance(tree, dict) and not _is_tagged(tree) else ()


def _keys(tree: Any) -> Generator[bytes, None, bytes]:
    """The keys of a value and of all that it consists of; none of what says nothing."""
    parts = []
    for part in _parts(tree):
        parts += [(yield from _keys(part))]
    key = _key(tree, parts)
    if not (tree is None or isinstance(tree, bool) or tree in ("", [], {})):
        yield key
    return key


def _is_tagged(tree: Mapping[str, Any]) -> bool:
    return len(tree) == 1 and next(iter(tree)).startswith("$")


def _key(tree: Any, parts: Sequence[bytes]) -> bytes:
    """One key per value, made of those of its parts, so that a value of many levels is gone over once; numbers that are equal are one value, whatever their type."""
    if isinstance(tree, str):
        return _hash(b"'" + tree.encode())
    if isinstance(tree, list):
        return _hash(b"[" + b"".join(parts))
    if isinstance(tree, dict) and not _is_tagged(tree):
        return _hash(b"{" + b"".join(_hash(name.encode()) + part for name, part in zip(sorted(tree), parts, strict=True)))
    kind = next(iter(tree)) if isinstance(tree, dict) else ""
    if kind in ("$decimal", "$int") or (isinstance(tree, int | float) and not isinstance(tree, bool)):
        digits = str(tree) if isinstance(tree, int) else f"{Decimal(tree[kind] if kind else repr(tree)):f}"
        return _hash(b"#" + (digits.rstrip("0").rstrip(".") if "." in digits else digits).encode())
    return _hash(b"=" + canonical.dumps(tree))


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _named(tree: Any) -> Iterable[tuple[str, Any]]:
    return tree.items() if isinstance(tree, dict) else ()


def _addresses(tree: Any) -> Iterator[str]:
    """The web addresses in the texts of a value."""
    if isinstance(tree, str):
        yield from (found.lstrip("0123456789+.-").rstrip(_AFTER) for found in _URL.findall(tree))
    elif isinstance(tree, list | dict):
        for part in tree if isinstance(tree, list) else [*tree, *tree.values()]:
            yield from _addresses(part)
