"""Sets of traces as files: one JSON document a line, a head line first; read whole or refused whole.

An export is such a file, and an imported set is the same file as `POINTSMAN_HOME/traces/NAME/traces.jsonl`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter

from pointsman.errors import BadInput, Conflict, NotFound
from pointsman.evaluation.journaled import from_record
from pointsman.evaluation.trace import Call, Record, Trace

FORMAT = 1
"""The version of the file format."""

_HEAD = "pointsman-traces"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class TraceSet:
    """Traces that were imported together."""

    name: str
    traces: tuple[Trace, ...]
    again: bool = False
    """True where exactly this was imported under this name before."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What the source does not say of some trace, each word once."""
        return tuple(dict.fromkeys(word for trace in self.traces for word in trace.missing))


def parsed(text: str) -> Any:
    """A JSON text as a value. Raises `ValueError` for what is none, and for numbers that are not finite, which JSON has not."""
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def is_archive(text: str) -> bool:
    """Whether a file's text begins as an export of ours does."""
    return text.startswith(f'{{"{_HEAD}"')


def dump(traces: Sequence[Trace]) -> str:
    """The text of a set of traces."""
    lines = [json.dumps({_HEAD: FORMAT, "traces": len(traces)})]
    lines += [json.dumps(trace.data(), sort_keys=True) for trace in traces]
    return "\n".join(lines) + "\n"


def load(text: str, where: str) -> tuple[Trace, ...]:
    """The traces of a text that `dump` wrote, every chain and payload verified. Raises `BadInput`, with the line."""
    head, *lines = text.removesuffix("\n").split("\n")
    told = _parsed(head, where, 1)
    if told.get(_HEAD) != FORMAT:
        raise _refused(f"{where} is of format {told.get(_HEAD)!r}; this version reads {FORMAT}")
    if told.get("traces") != len(lines):
        raise _refused(f"{where} should hold {told.get('traces')} traces and holds {len(lines)}: it was cut off or added to")
    return tuple(_trace(_parsed(line, where, number), f"{where}, line {number}") for number, line in enumerate(lines, 2))


def keep(home: Path, name: str, traces: Sequence[Trace]) -> TraceSet:
    """Keep traces as the set `name`, whole or not at all. Raises `BadInput` for a name that is none, `Conflict` where it holds others already."""
    folder = _folder(home, name)
    text = dump(traces).encode()
    if folder.exists():
        there = folder / "traces.jsonl"
        if there.is_file() and hashlib.sha256(there.read_bytes()).digest() == hashlib.sha256(text).digest():
            return TraceSet(name, tuple(traces), again=True)
        raise Conflict(f"there is a set {name!r} with other traces", undone="nothing was imported", remedy="give another --name")
    temporary = folder.with_name(f".{uuid4().hex}")
    temporary.mkdir(parents=True, mode=0o700)
    try:
        with (temporary / "traces.jsonl").open("wb") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return TraceSet(name, tuple(traces))


def read(home: Path, name: str) -> TraceSet:
    """The set of this name. Raises `NotFound`, `BadInput` where its file was changed."""
    file = _folder(home, name) / "traces.jsonl"
    if not file.is_file():
        known = ", ".join(names(home)) or "none"
        raise NotFound(f"there is no set of traces {name!r}", remedy=f"`pointsman eval import FILE --name {name}`; sets there are: {known}")
    return TraceSet(name, load(file.read_text(encoding="utf-8"), str(file)))


def names(home: Path) -> list[str]:
    """The sets that were imported."""
    return sorted(file.parent.name for file in (home / "traces").glob("*/traces.jsonl") if not file.parent.name.startswith("."))


def unique(traces: Iterable[Trace], where: str) -> tuple[Trace, ...]:
    """Traces whose ids are unique. Raises `BadInput` for none, and for an id that comes twice."""
    found: dict[str, Trace] = {}
    for trace in traces:
        if not trace.trace_id:
            raise _refused(f"{where} holds a trace without an id")
        if trace.trace_id in found:
            raise _refused(f"{where} holds trace {trace.trace_id!r} twice")
        found[trace.trace_id] = trace
    if not found:
        raise _refused(f"{where} holds no trace")
    return tuple(found.values())


def _folder(home: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is no name for a set",
            undone="nothing was read or written",
            remedy="letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        )
    return home / "traces" / name


def _trace(data: Any, where: str) -> Trace:
    try:
        fields = dict(data)
        record = Record.of(fields.pop("record")) if "record" in fields else None
        calls = tuple(Call.of(call) for call in fields.pop("calls", ()))
        fields |= {name: tuple(fields.get(name, ())) for name in ("messages", "missing")}
        if record is None:
            return _checked(Trace(calls=calls, **fields))
        faults = record.faults()
        if faults:
            raise _refused(f"{where}: the record of run {record.run_id[:8]} was changed: {faults[0].what} (event {faults[0].seq})")
        for digest, content in record.files.items():
            if hashlib.sha256(content).hexdigest() != digest:
                raise _refused(f"{where}: input file {digest[:12]} was changed")
        return _checked(from_record(record, **{name: fields[name] for name in ("task", "trial", "reward", "facts") if name in fields}))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise _refused(f"{where} is no trace: {type(error).__name__}: {error}") from error


_TRACE, _CALL = TypeAdapter(Trace), TypeAdapter(Call)


def _checked(trace: Trace) -> Trace:
    """The trace, if each of its fields is of the type that it is declared with. Raises `ValueError`: a file may say anything."""
    for call in trace.calls:
        _CALL.validate_python({name: getattr(call, name) for name in Call.__slots__})
    _TRACE.validate_python({name: getattr(trace, name) for name in Trace.__slots__})
    return trace


def _parsed(line: str, where: str, number: int) -> Any:
    try:
        found = parsed(line)
    except (ValueError, RecursionError) as error:
        raise _refused(f"{where}, line {number} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise _refused(f"{where}, line {number} is no JSON object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number that JSON has")
    return number


def _refused(what: str) -> BadInput:
    return BadInput(what, undone="nothing was imported", remedy="export it again, or give the file that was meant")
