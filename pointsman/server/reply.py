"""What a client sends to resume: answers and decisions, by the id of the question they are about, or without one.

{ID: VALUE}                                     the answer to a question
{ID: {"decisions": [{"type": "approve"}]}}      LangChain's words; also "reject" (message), "edit" (edited_action)
{ID: {"decisions": […], "card_digest": D}}      the same, and the card that the person was shown
VALUE or {"decisions": […]}                     as chat interfaces send it, for the one question that is open

Who may say what is not decided here: `pointsman.deciding` does that, whatever door it came through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pointsman import canonical
from pointsman.approval import Approval, Approvals, readable
from pointsman.errors import BadInput, Conflict, NotFound

_ID = re.compile(r"[0-9a-f]{32}")

_OPEN = "nothing was decided, the question is still open"

_WORDS = {"approve": "approved", "reject": "rejected", "edit": "edited"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said to one question."""

    approval: Approval
    decision: str
    """approved · rejected · edited · answered."""
    value: Any = None
    """The answer, or the edited arguments."""
    note: str = ""
    card_digest: str | None = None
    bound: bool = True
    """Whether it names the question."""
    form: bool = False
    """Whether the value is a form of all that was shown, among it what was asked for."""


def replies(resume: Any, approvals: Approvals) -> list[Reply]:
    """The replies in a resume value, against the questions of the run. Raises `NotFound`, `Conflict`, `BadInput`."""
    if isinstance(resume, Mapping) and resume and all(isinstance(name, str) and _ID.fullmatch(name) for name in resume):
        return [_reply(_known(name, approvals), said, bound=True) for name, said in resume.items()]
    waiting = approvals.open()
    if len(waiting) != 1:
        settled = "; ".join(f"`{approval.command}`" for approval in waiting) or "see `pointsman show`"
        raise Conflict(
            f"{len(waiting) or 'no'} questions are open, and the answer names none of them",
            undone="nothing was decided",
            remedy=f"answer by id, as {{ID: …}}, or {settled}",
        )
    return [_reply(waiting[0], resume, bound=False)]


def _known(approval_id: str, approvals: Approvals) -> Approval:
    approval = approvals.get(approval_id)
    if approval is None:
        raise NotFound(
            f"the run of this thread has no question {approval_id[:8]}", undone="nothing was decided", remedy="see `pointsman inbox`"
        )
    return approval


def _reply(approval: Approval, said: Any, *, bound: bool) -> Reply:
    if not (isinstance(said, Mapping) and isinstance(said.get("decisions"), list) and set(said) <= {"decisions", "card_digest"}):
        # An approval is given in words that say which: anything else would be a guess at what was meant.
        if approval.asks_for_value or not bound:
            return Reply(approval, "answered", said, bound=bound)
        raise _unreadable(approval)
    told = said["decisions"][0] if len(said["decisions"]) == 1 and isinstance(said["decisions"][0], Mapping) else {}
    decision, digest = _WORDS.get(str(told.get("type"))), said.get("card_digest")
    if decision is None:
        raise _unreadable(approval)
    note, value = str(told.get("message") or ""), None
    if decision == "edited":
        action = told.get("edited_action")
        if not (isinstance(action, Mapping) and isinstance(action.get("args"), Mapping)):
            raise _unreadable(approval)
        if action.get("name") not in (None, approval.tool or approval.node):
            raise BadInput(f"it is about {approval.tool or approval.node}, not {action['name']!r}", undone=_OPEN)
        value = dict(action["args"])
        decision = "answered" if approval.asks_for_value else decision
    form = decision == "answered"
    return Reply(approval, decision, value, note, None if digest is None else str(digest), bound, form)


def edited(value: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a form gives back, as values: what was not touched as it is on the card, the rest as it was typed."""
    return {name: _typed(given, card["arguments"].get(name)) for name, given in value.items()}


def answer(reply: Reply, card: Mapping[str, Any]) -> Any:
    """The answer in a reply to a question for a value: what was sent, or the field of the form that asks for it. Raises `BadInput`."""
    if not reply.form:
        return reply.value
    if card["writes"] not in reply.value:
        raise BadInput(
            f"the form holds no {card['writes']!r}, which is what is asked for", undone=_OPEN, remedy=f"`{reply.approval.command}`"
        )
    schema = card["schema"]
    return _typed(reply.value[card["writes"]], card.get("present"), text="string" in (schema.get("type"), *_options(schema)))


def _options(schema: Mapping[str, Any]) -> list[Any]:
    return [option.get("type") for option in schema.get("anyOf", ())]


def _typed(given: Any, shown: Any, *, text: bool = True) -> Any:
    """A value from a form that showed the encoded tree `shown`; where that was nothing, a `text` is left one. Forms make text of what is none."""
    if isinstance(given, str) and readable(shown) != given and not (isinstance(shown, str) or (shown is None and text)):
        try:
            given = json.loads(given, parse_float=Decimal)
        except ValueError:
            return given
    try:
        return canonical.decode(shown if given == readable(shown) else given)
    except (ValueError, TypeError, ArithmeticError):  # no value of the card's form: it is checked as what it is
        return given


def _unreadable(approval: Approval) -> BadInput:
    ways = '"edit" or "reject"' if approval.asks_for_value else '"approve", "reject" or "edit"'
    return BadInput(
        f"the reply to question {approval.approval_id[:8]} is no decision",
        undone=_OPEN,
        remedy=f'send {{ID: {{"decisions": [{{"type": …}}]}}}} with {ways}, or `{approval.command}`',
    )
