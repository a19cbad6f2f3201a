"""What a person wants to know of one run, as plain data: the shapes. `telling` fills them from the record, `page` prints them.

Values stand as encoded trees (see `pointsman.canonical`), so that JSON keeps a decimal a decimal; instants as RFC 3339 text.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pointsman.tool import WORLD_UNCHANGED


@dataclass(slots=True)
class Value:
    """One recorded value."""

    name: str
    tree: Any
    kept: bool = True
    """False where its payload is gone."""
    new: bool = True
    """False where the story has shown this very value before."""


@dataclass(slots=True)
class Trouble:
    """An error on record."""

    type: str
    what: str
    remedy: str | None = None
    """What to do next, where it says so."""


@dataclass(slots=True)
class Ask:
    """A question to a person about one exact call, and what became of it."""

    approval: str
    tool: str
    node: str
    role: str | None
    rule: str | None
    state: str
    card: Any
    card_digest: str
    expires_at: str | None
    by: str | None = None
    known_by: str | None = None
    note: str | None = None
    kind: str = "approval"
    """`approval` of a call, or `question` for a value."""
    approved_by: list[str] = field(default_factory=list)
    """Who has said yes, where it needs several people."""
    value: Value | None = None
    """The edited arguments, or the answer."""
    refused: list[str] = field(default_factory=list)
    """Who tried to decide and might not, and why."""


@dataclass(slots=True)
class Call:
    """One passage through the gateway."""

    call: str
    position: str
    target: str
    effect: str
    branch: int
    outcome: str = "open"
    """done · failed · unknown · denied · limit · rejected · expired; `open` while nothing is on record."""
    verdict: str | None = None
    rule: str | None = None
    """The id of the rule that decided."""
    matched: list[str] = field(default_factory=list)
    """The ids of all rules that were about it, where there were several."""
    key: str | None = None
    """The idempotency key the outside system was given."""
    request: Value | None = None
    result: Value | None = None
    value: str | None = None
    """What the clock or chance said."""
    trouble: Trouble | None = None
    spend: dict[str, Any] = field(default_factory=dict)
    sends: int = 0
    """How often it was sent under its key."""
    given: bool = False
    """True where a rerun was given the result of an earlier equal call."""
    undone_by: str | None = None
    """The tool that undoes it, where its contract names one."""
    told_by: str | None = None
    """Who found out whether it happened, where that was unknown."""
    egress: dict[str, Any] = field(default_factory=dict)
    """What a model was sent: `provider model host bytes fields`; empty where nothing was, or for other calls."""

    @property
    def unresolved(self) -> bool:
        """Whether it may have changed the world and nobody knows."""
        return self.effect not in WORLD_UNCHANGED and self.outcome in ("unknown", "open")


@dataclass(slots=True)
class Step:
    """One execution of a node; several tries of it are one step."""

    number: int
    position: str
    node: str
    branch: int
    """How many reruns had begun."""
    began: str
    ended: str | None = None
    inner: bool = False
    """True for a step of a plain graph that a node's body ran, such as an agent's turn: of that only its calls are on record, and no end."""
    tries: int = 1
    """How often it was begun anew after it had failed; going on after a question or a crash is the same try."""
    exit: str | None = None
    decided_by: str | None = None
    """Who chose what came next: code · rule · human · model."""
    trouble: Trouble | None = None
    """What its newest try failed with, where that parked the run."""
    to: list[str] = field(default_factory=list)
    reason: str | None = None
    unchanged: bool = False
    """True where a rerun took the recorded output, since input and code were the same."""
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    guards: list[str] = field(default_factory=list)
    """What guards said, a line each; those that let things pass say so too."""
    what: str = "step"

    @property
    def seconds(self) -> float | None:
        """From its beginning to its end, waiting included; None where it has no end."""
        return None if self.ended is None else (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.began)).total_seconds()


@dataclass(slots=True)
class Mark:
    """Something that happened to the run between steps: a rerun, a new try, another owner."""

    kind: str
    time: str
    text: str
    by: str | None = None
    reason: str | None = None
    position: str | None = None
    values: list[Value] = field(default_factory=list)
    what: str = "mark"


@dataclass(slots=True)
class Failure:
    """Why a run is parked."""

    position: str
    node: str
    trouble: Trouble
    retryable: bool
    affected: list[str]
    """Nodes downstream that wait for it."""
    inputs: list[Value]


@dataclass(slots=True)
class Next:
    """A command that can be typed now, and why one would."""

    command: str
    why: str


@dataclass(slots=True)
class Story:
    """One run."""

    run: str
    graph: str
    state: str
    quarantined: bool
    key: str | None
    version: str | None
    accepted_at: str
    changed_at: str
    by: str | None = None
    events: int = 0
    reruns: int = 0
    seconds: float = 0.0
    """Seconds of work, not of waiting."""
    spend: dict[str, Any] = field(default_factory=dict)
    """What its calls cost, by the names that limits use."""
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    reason: str | None = None
    """Why it failed, was set aside or cancelled."""
    undone: str | None = None
    """The run that undoes what it did, where one was begun."""
    failure: Failure | None = None
    questions: list[Ask] = field(default_factory=list)
    """Those that wait for a person."""
    unknown: list[Call] = field(default_factory=list)
    """Effects nobody knows the outcome of."""
    chapters: list[Step | Mark] = field(default_factory=list)
    next: list[Next] = field(default_factory=list)

    @property
    def short(self) -> str:
        """The beginning of its id, as people type it."""
        return self.run[:8]

    @property
    def shown_state(self) -> str:
        """Its state in one word: a run set aside for its input is quarantined."""
        return "quarantined" if self.quarantined else self.state

    @property
    def steps(self) -> list[Step]:
        """Its steps in the order they began."""
        return [chapter for chapter in self.chapters if isinstance(chapter, Step)]

    @property
    def effects(self) -> list[str]:
        """Tools that changed the world, in order, each once."""
        done = [call.target for step in self.steps for call in step.calls if call.effect not in WORLD_UNCHANGED and call.outcome == "done"]
        return list(dict.fromkeys(done))

    @property
    def gist(self) -> str:
        """What came of it, in one line."""
        if self.unknown:
            return f"did {self.unknown[0].target} happen? Nobody knows"
        if self.failure is not None:
            trouble = self.failure.trouble
            return f"{self.failure.node or trouble.type}: {trouble.what}{f'. Next: {trouble.remedy}' if trouble.remedy else ''}"
        if self.questions:
            ask = self.questions[0]
            what = ask.tool or str(ask.card.get("question", "") if isinstance(ask.card, dict) else "")
            return f"asks {ask.role or 'anybody'}: {what}"
        return self.reason or ", ".join(self.effects)

    def data(self, *, whole: bool = True) -> dict[str, Any]:
        """The story for a machine; without its steps where not `whole`."""
        told = asdict(self) | {"gist": self.gist}
        if not whole:
            told.pop("chapters")
        return told
