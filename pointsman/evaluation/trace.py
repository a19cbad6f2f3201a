"""A recorded run, ours or somebody else's, as a value: what was called with what, what came back, and what the source does not say.

A trace of our own carries its whole journal, so it can be verified and replayed. An imported one carries what its source had; what that
lacks is named in `missing` and is None here, never filled in.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pointsman import canonical
from pointsman.event import Event, Row
from pointsman.evidence.verify import Fault, chain_faults, payload_faults
from pointsman.limit import Spend

Source = Literal["pointsman", "chat", "langsmith", "otlp"]
"""Where a trace comes from: a journal, chat trajectories, LangSmith runs, OpenTelemetry spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a recorded run, as far as its source tells."""

    kind: Literal["tool", "model"]
    target: str
    """The tool's name; for a model `provider:name`, as far as known."""
    arguments: Any
    """What was asked, as plain JSON: a tool's arguments by name, a model's messages."""
    result: Any = None
    """What came back, as plain JSON or as the text that the source holds; None where it failed or was not made."""
    error: str | None = None
    """How it ended otherwise; None for a call that was answered."""
    outcome: str = "done"
    """done · failed · unknown · denied · limit · rejected · expired; of imported calls `done` or `failed`."""
    position: str = ""
    """Where: the position of its step; empty where the source knows none."""
    node: str = ""
    """The node that made it; empty where the source knows none."""
    effect: str | None = None
    """What it does to the world, as its contract said; None where the source does not say."""
    verdict: str | None = None
    rule: str | None = None
    labels: Mapping[str, str] | None = None
    """The labels of its arguments by path, as `Label` writes them; None where the source does not say."""
    spend: Spend | None = None
    """What it cost; None where the source does not say."""
    message: int | None = None
    """Which of the trace's messages asked for it, from 0; None where there are no messages."""

    def data(self) -> dict[str, Any]:
        """As plain JSON, without what is not known."""
        shown = {name: getattr(self, name) for name in self.__slots__}
        shown["spend"] = self.spend.data() if self.spend is not None else None
        return {name: value for name, value in shown.items() if value is not None and (name in _ALWAYS or value != "")}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Call:
        """The call that `data()` wrote. Raises `TypeError`, `KeyError`."""
        fields = dict(data)
        fields["spend"] = Spend.of(fields["spend"]) if "spend" in fields else None
        return cls(**{"arguments": None, **fields})


_ALWAYS = ("kind", "target", "arguments", "result")
"""What a call says of itself though it be empty: a source may know of a model that answered and not which."""


@dataclass(frozen=True, slots=True)
class Record:
    """The journal of one run, taken along: all that is needed to verify it and to replay it."""

    run_id: str
    rows: tuple[Row, ...]
    payloads: Mapping[str, Any]
    """Encoded trees by salted digest; those that were erased are gone here too."""
    salt: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The contents of the run's input files, by SHA-256."""

    @property
    def events(self) -> list[Event]:
        """Its events, in order."""
        return [Event.of(self.run_id, row) for row in self.rows]

    def faults(self) -> list[Fault]:
        """What was changed in it; empty where it is what was exported. A payload that is gone is no change."""
        bodies = {digest: canonical.dumps(tree) for digest, tree in self.payloads.items()}
        return chain_faults(self.run_id, self.rows) + [
            fault for fault in payload_faults(self.rows, self.salt, bodies) if not fault.what.endswith("is gone")
        ]

    def data(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "run_id": self.run_id,
            "salt": self.salt.hex(),
            "events": [list(row) for row in self.rows],
            "payloads": dict(self.payloads),
            "files": {digest: base64.b64encode(content).decode() for digest, content in self.files.items()},
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Record:
        """The record that `data()` wrote. Raises `KeyError`, `TypeError`, `ValueError`."""
        files = {digest: base64.b64decode(content, validate=True) for digest, content in data["files"].items()}
        rows = tuple(Row(*row) for row in data["events"])
        return cls(data["run_id"], rows, dict(data["payloads"]), bytes.fromhex(data["salt"]), files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One recorded run."""

    trace_id: str
    """Unique in its set."""
    source: Source
    graph: str = ""
    """The workflow's name; empty where the source knows none."""
    version: str | None = None
    """The version of the graph it ran under."""
    task: str | None = None
    """What it was a trial of: runs of one task are not independent samples."""
    trial: int | None = None
    reward: float | None = None
    """How good it was, where the source says: 1 is a pass."""
    outcome: str | None = None
    """How it ended: a run state, or `done` or `failed`."""
    began: str | None = None
    """RFC 3339."""
    ended: str | None = None
    calls: tuple[Call, ...] = ()
    """Every call of a tool, and every call of a model that the source tells apart, in the order they were begun."""
    messages: tuple[Mapping[str, Any], ...] = ()
    """The conversation, where the source is one: OpenAI's chat messages as they stand there."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the source says, as it stands there."""
    missing: tuple[str, ...] = ()
    """What the source does not say, as words: `tokens`, `versions`, `times`, `effects`, `verdicts` …"""
    record: Record | None = None
    """The journal of a run of ours; None for an imported trace, which cannot be replayed."""

    @property
    def tool_calls(self) -> tuple[Call, ...]:
        """The calls of tools alone."""
        return tuple(call for call in self.calls if call.kind == "tool")

    def data(self) -> dict[str, Any]:
        """As plain JSON, without what is not known. The calls of a run of ours stand in its record."""
        plain = ("trace_id", "source", "graph", "version", "task", "trial", "reward", "outcome", "began", "ended")
        shown: dict[str, Any] = {name: getattr(self, name) for name in plain}
        shown |= {"facts": dict(self.facts), "missing": list(self.missing), "messages": [dict(message) for message in self.messages]}
        shown["calls"] = [] if self.record else [call.data() for call in self.calls]
        shown["record"] = self.record.data() if self.record else None
        return {name: value for name, value in shown.items() if value not in (None, "", [], {})}
