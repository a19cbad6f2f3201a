"""A case: what a run, or one execution of a node, was given, and what it should make of it. Cut from a record, kept as one file.

What a person did is the label: an answer, an edit or a repair says what the value should have been, a rejection that it should not have been this.
Where nobody corrected anything, what was recorded is what is expected again. A case is told by what it is given, so equal ones are one.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from pointsman import canonical
from pointsman.errors import BadInput, Conflict, NotFound
from pointsman.evaluation.trace import Record, Trace
from pointsman.event import Event

Source = Literal["recorded", "answered", "edited", "rejected", "repaired"]
"""Where a label comes from: nobody corrected the run, or somebody did so in this way."""

SPLITS = (("train", 60), ("dev", 20), ("test", 20))
"""Into which part a case falls, in per cent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is expected of a case, and who says so."""

    source: Source
    exit: str | None = None
    """How the node or the run should end; None where any end will do."""
    output: dict[str, Any] = field(default_factory=dict)
    """Encoded values of the fields it should write."""
    unlike: dict[str, Any] = field(default_factory=dict)
    """Encoded values that somebody rejected: it should not write all of these."""
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. Values are encoded trees (`canonical.encode`)."""

    suite: str
    graph: str
    node: str | None
    """The node it is about; None for a whole run."""
    input: dict[str, Any]
    """The fields the node received, or the run was accepted with."""
    label: Label
    cluster: str | None = None
    """What it shares with other cases, such as a document: they fall into one part."""
    run: str = ""
    position: str = ""
    version: str | None = None
    """The graph's version it was cut under."""
    files: dict[str, str] = field(default_factory=dict)
    """Contents of input files by SHA-256, in base64; of a case of a node."""
    record: dict[str, Any] | None = None
    """The journal of the run (`Record.data`); of a case of a whole run."""

    @property
    def case_id(self) -> str:
        """Equal for equal cases: of the graph, the node and the input."""
        return canonical.digest_of({"graph": self.graph, "node": self.node, "input": self.input})[:16]

    @property
    def split(self) -> str:
        """`train`, `dev` or `test`, by the hash of the cluster, else of the input: the same everywhere, whatever else is added."""
        key = self.cluster if self.cluster is not None else self.case_id
        place = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 100
        for name, share in SPLITS:
            if place < share:
                return name
            place -= share
        raise AssertionError("the shares add up to 100")

    def contents(self) -> dict[str, bytes]:
        """The contents of its input files, by SHA-256."""
        return {digest: base64.b64decode(text) for digest, text in self.files.items()}


_CASE: TypeAdapter[Case] = TypeAdapter(Case)


def cut(trace: Trace, *, node: str | None = None, suite: str | None = None, cluster: str | None = None) -> list[Case]:
    """The cases of a recorded run: the run itself, or every execution of `node`, equal ones once.

    Raises `BadInput` for a trace without a journal or without payloads that a case needs, `NotFound` for a node that never ended.
    """
    record = trace.record
    if record is None or trace.missing:
        what = f"it lacks {' and '.join(trace.missing)}" if trace.missing else f"it was imported from {trace.source}"
        raise BadInput(
            f"no case can be cut from trace {trace.trace_id}: {what}", undone="nothing was kept", remedy="take a run of a workflow"
        )
    if node is None and "after" in record.events[0].fields:
        raise BadInput(
            f"no case can be cut from the whole of run {trace.trace_id}: it began on a thread that held the state of another run",
            undone="nothing was kept",
            remedy="cut the executions of a node: `--node NODE`",
        )
    own = Case(
        suite=suite or (f"{trace.graph}.{node}" if node else trace.graph), graph=trace.graph, node=node, input={}, label=Label(source="recorded"),
        cluster=cluster or trace.task or _same(record), run=trace.trace_id, version=trace.version, record=None if node else record.data(),
    )  # fmt: skip
    found = [_of_run(own, trace, record)] if node is None else list(_of_node(own, record, node))
    if not found:
        known = sorted({str(event.fields["node"]) for event in record.events if event.kind == "step.started"})
        raise NotFound(f"node {node!r} of run {trace.trace_id[:8]} never ended a step", remedy=f"nodes on record: {', '.join(known)}")
    return list({case.case_id: case for case in found}.values())


def keep(folder: Path, case: Case) -> Literal["kept", "corrected", "there"]:
    """Keep a case as `folder/SUITE/ID.json`. A person's label takes the place of a recorded one; one that is there already stays.

    Raises `Conflict` where two people say different things.
    """
    path = folder / case.suite / f"{case.case_id}.json"
    before = read(path) if path.is_file() else None
    if before is not None:
        if case.label.source == "recorded" or _said(before.label) == _said(case.label):
            return "there"
        if before.label.source != "recorded":
            raise Conflict(
                f"case {case.case_id} has another label: {before.label.by or 'somebody'} {before.label.source} it",
                undone="the case stays as it was",
                remedy=f"agree, then mend or remove {path}",
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_CASE.dump_python(case, mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return "corrected" if before is not None else "kept"


def read(path: Path) -> Case:
    """The case of a file. Raises `BadInput`."""
    try:
        return _CASE.validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is no case: {error}", remedy="cut one with `pointsman eval case RUN`") from error


def cases(folder: Path, suite: str, split: str | None = None) -> list[Case]:
    """The cases of a suite, or one part of it, in the order of their ids. Raises `NotFound` where there is no such suite."""
    place = folder / suite
    if not place.is_dir():
        known = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) if folder.is_dir() else ""
        raise NotFound(
            f"there is no suite {suite!r} in {folder}", remedy=f"suites there: {known or 'none'}; cut a case with `pointsman eval case RUN`"
        )
    found = [read(path) for path in sorted(place.glob("*.json"))]
    return [case for case in found if split is None or case.split == split]


def _said(label: Label) -> tuple[Any, ...]:
    return (label.exit, label.output, label.unlike)


def _same(record: Record) -> str:
    """What the cases of one run share where it has no key: its input, so that a second run of it falls into the same part."""
    return f"input {canonical.digest_of(_values(record.events[0], 'input.', record))[:16]}"


def _of_run(own: Case, trace: Trace, record: Record) -> Case:
    events = record.events
    output = next((_values(event, "output.", record) for event in reversed(events) if event.kind == "run.sealed"), {})
    label = replace(own.label, exit=trace.outcome, output=output)
    return replace(own, input=_values(events[0], "input.", record), label=label)


def _of_node(own: Case, record: Record, node: str) -> Iterator[Case]:
    started: dict[str, Event] = {}
    events, corrections = record.events, list(_corrections(record))
    ends = [event for event in events if event.kind == "step.finished"]
    for event in events:
        if event.kind == "step.started":
            started[event.position] = event
        elif event.kind == "step.finished" and started[event.position].fields["node"] == node and "kept" not in event.fields:
            began = started[event.position]
            label = _own(event, record, Label(source="recorded", exit=event.fields["exit"], output=_values(event, "output.", record)))
            for correction in corrections:
                if correction.concerns(event, ends):
                    label = correction.label(label)
            given = _values(began, "input.", record)
            yield replace(own, input=given, label=label, position=event.position, files=_files(given, record))


def _own(end: Event, record: Record, recorded: Label) -> Label:
    """The label of a step that asked a person for a value: what they said is what it gave, and they say so."""
    for event in record.events:
        if event.kind == "ask.decided" and (event.position, event.branch) == (end.position, end.branch) and event.seq < end.seq:
            decision = event.fields["decision"]
            if decision in ("answered", "rejected") and "writes" in record.payloads[event.payloads["card"]]:
                recorded = replace(recorded, source=decision, by=str(event.fields.get("by", "")), reason=_text(event, "note", record))
    return recorded


@dataclass(frozen=True, slots=True)
class _Correction:
    """What a person did to values that steps before had written."""

    seq: int
    position: str
    """The step that asked; empty for a repair, which concerns the run."""
    source: Source
    values: Mapping[str, Any]
    by: str
    reason: str

    def concerns(self, end: Event, ends: Sequence[Event]) -> bool:
        """Whether a step was the last before to write one of the values, in the graph of the step that asked, else in the nearest around it: branches beside it gave it nothing."""
        return any((writer := self._writer(f"output.{name}", ends)) is not None and writer.seq == end.seq for name in self.values)

    def _writer(self, name: str, ends: Sequence[Event]) -> Event | None:
        before = [one for one in ends if one.seq < self.seq and name in one.payloads]
        around, inside = self.position, True
        while inside:
            around, inside = around.rpartition("/")[0], "/" in around
            if found := [one for one in before if not self.position or one.position.rpartition("/")[0] == around]:
                return found[-1]
        return None

    def label(self, recorded: Label) -> Label:
        """What it makes of the label of such a step."""
        touched = {name: value for name, value in self.values.items() if name in recorded.output}
        said = replace(recorded, source=self.source, by=self.by, reason=self.reason)
        if self.source == "rejected":
            return replace(said, exit=None, output={}, unlike=touched)
        return replace(said, output={**recorded.output, **touched})


def _corrections(record: Record) -> Iterator[_Correction]:
    for event in record.events:
        by = str(event.fields.get("by", ""))
        if event.kind == "run.repaired":
            yield _Correction(event.seq, "", "repaired", _values(event, "patch.", record), by, _text(event, "reason", record))
        elif event.kind == "ask.decided" and event.fields["decision"] in ("answered", "edited", "rejected"):
            yield _Correction(
                event.seq, event.position, event.fields["decision"], _decided(event, record), by, _text(event, "note", record)
            )


def _decided(event: Event, record: Record) -> dict[str, Any]:
    """The values that a decision gives, or refuses, by the field they belong to: an effect's arguments are fields of the state."""
    card, value = record.payloads[event.payloads["card"]], record.payloads.get(event.payloads.get("value", ""))
    if event.fields["decision"] == "answered":
        return {card["writes"]: value}
    return dict(value or {}) if event.fields["decision"] == "edited" else dict(card.get("arguments") or {})


def _values(event: Event, prefix: str, record: Record) -> dict[str, Any]:
    return {name: record.payloads[digest] for name, digest in event.named(prefix).items()}


def _files(given: Mapping[str, Any], record: Record) -> dict[str, str]:
    """The contents of the files that the input names, by SHA-256."""
    named = json.dumps(given)
    return {digest: base64.b64encode(content).decode() for digest, content in record.files.items() if digest in named}


def _text(event: Event, name: str, record: Record) -> str:
    told = record.payloads.get(event.payloads.get(name, ""), "")
    return told if isinstance(told, str) else json.dumps(told)
