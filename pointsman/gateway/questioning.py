"""A question for a value: asked once, settled by a person, answered again from the record whenever its step is executed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from pointsman import canonical
from pointsman.approval import Approval
from pointsman.gateway.asking import Asking
from pointsman.gateway.step import Step
from pointsman.policy import Decision, Need, Verdict

if TYPE_CHECKING:
    from pointsman.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Question:
    """What a node asks a person, and what counts as an answer."""

    text: str
    shows: tuple[str, ...]
    """State fields that the card shows."""
    returns: Any
    """The type of an answer."""
    writes: str
    """The state field that takes it; where the card shows that field too, its present value is what the person starts from."""
    role: str | None = None
    expires: timedelta | None = None
    known_by: tuple[str, ...] = ()

    def answer(self, given: Any) -> Any:
        """A given value as the type that is asked for. Raises `pydantic.ValidationError`."""
        adapter: TypeAdapter[Any] = TypeAdapter(self.returns)
        return adapter.validate_python(given)

    def schema(self) -> dict[str, Any]:
        """The JSON schema of an answer, from which forms are made."""
        return TypeAdapter(self.returns).json_schema()

    def declared(self) -> dict[str, Any]:
        """All that it says, as plain data: its part in the version of the graph."""
        return self.card({}) | {
            "role": self.role,
            "expires": self.expires and self.expires.total_seconds(),
            "known_by": list(self.known_by),
        }

    def card(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """What the person is shown, made by code alone: the question, the fields as they stand, and what an answer must look like."""
        shown = {name: canonical.encode(state.get(name)) for name in self.shows}
        return {
            "question": self.text,
            "shows": shown,
            "writes": self.writes,
            "present": shown.get(self.writes),
            "schema": canonical.encode(self.schema()),
        }


async def settled(gateway: Gateway, step: Step, question: Question, state: Mapping[str, Any]) -> Approval:
    """What a person said to a question: answered, rejected or expired. Until then it is on record and the step stops here.

    Raises LangGraph's `GraphInterrupt`, `LimitReached`.
    """
    step.stop()
    if gateway.stop is not None:
        raise gateway.stop
    card = question.card(state) | {"node": step.place.node}
    bound = {"card": card, "run": gateway.journal.run_id, "graph": gateway.rules.version}
    needs = (Need(question.role, known_by=question.known_by),)
    decision = Decision(Verdict.ASK, "question", question.text, needs, question.expires)
    return await Asking(gateway).asked(step, gateway.journal.payload_of(bound), card, decision, "", anew=gateway.reruns(step))
