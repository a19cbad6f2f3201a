"""What people say to a run's questions: yes, no, other arguments, a value. And what time says when nobody did.

Each decision is one transaction that locks the run's head, checks that it still applies and that this person may, and appends. A
decision that is refused is on record as well (`ask.refused`), once for each person and reason: who tried what they may not is a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pointsman.approval import Approval, Approvals, expired
from pointsman.errors import Conflict, NotAllowed, NotFound, PointsmanError
from pointsman.event import Event
from pointsman.journal import draft_event
from pointsman.lease import Owner
from pointsman.opening import FINISHED
from pointsman.outside import Locked, locked
from pointsman.policy import Need
from pointsman.policy.revocation import Revocation, Revocations
from pointsman.principal import KNOWN_BY, NOBODY, Roles, check_name

_UNDONE = "nothing was decided"

_BECAME = {"consumed": "has been approved, and the call was made", "expired": "has expired"}
"""What is said of a question that is no longer open, where its state alone would not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a person says to one question, on the card they were shown."""

    decision: str
    """approved · rejected · edited · answered."""
    by: str
    known_by: str
    card_digest: str
    note: str = ""
    bound: bool = True
    """Whether they named the question, or only said something while it was the one that was open."""
    value: Callable[[Approval], tuple[Any, tuple[str, ...]]] | None = None
    """Checks the edited arguments or the answer against the question on record; the value, and the names of what an edit changes. Raises `BadInput`, `Conflict`."""


async def decide(owner: Owner, run_id: str, approval_id: str, said: Said, roles: Roles, *, only_check: bool = False) -> None:
    """Put a person's decision on record. Raises `NotAllowed` where they may not, `Conflict` where it no longer applies, `BadInput` where what they give does not fit.

    With `only_check` nothing is decided, but a refusal is as much on record.
    """
    check_name(said.by, _UNDONE)
    if said.known_by not in (*KNOWN_BY, NOBODY):
        raise NotAllowed(
            f"known_by={repr(said.known_by)[:80]} is no way to know who decides",
            undone=_UNDONE,
            remedy=f"say known_by= as one of {', '.join(KNOWN_BY)}",
        )
    async with locked(owner, run_id) as run:
        error = await _decided(run, run_id, approval_id, said, roles, only_check=only_check)
    if error is not None:
        raise error


async def _decided(run: Locked, run_id: str, approval_id: str, said: Said, roles: Roles, *, only_check: bool) -> PointsmanError | None:
    events = await run.events()
    approval = Approvals(events).get(approval_id)
    what = f"question {approval_id[:8]} of run {run_id[:8]}"
    if approval is None:
        raise NotFound(f"there is no {what}", undone=_UNDONE, remedy="see `pointsman inbox`")
    if approval.state == "open" and (over := run.over()) is not None:
        await _refuse(run, approval, said, "closed", events)
        return over
    if approval.state == "open" and approval.is_due(run.owner.clock.now()):
        await _expire(run, approval)
        return Conflict(f"{what} had expired at {approval.expires_at}", undone=_UNDONE, remedy="the run goes on by its exit `expired`")
    counts, refusal = _weighed(approval, said, roles, events, what)
    revoked = Revocations(map(Revocation.of, await run.tx.fetch("revocations")))
    reason, error = _inapplicable(approval, said, what) or _revoked(revoked, said, what) or refusal or ("", None)
    if error is not None:
        await _refuse(run, approval, said, reason, events)
        return error
    if only_check:
        return None
    payloads = {"card": said.card_digest}
    changed: tuple[str, ...] = ()
    if said.value is not None:
        value, changed = said.value(approval)
        payloads["value"] = await run.keep(value)
    if said.note:
        payloads["note"] = await run.keep(said.note)
    fields = {
        "approval": approval_id,
        "decision": said.decision,
        "by": said.by,
        "known_by": said.known_by,
        "changed": list(changed) or None,
        "counts": list(counts) if len(approval.needs) > 1 and said.decision == "approved" else None,
    }
    await run.append(draft_event("ask.decided", run.owner.clock, approval.position, payloads=payloads, **fields))
    if said.decision != "approved" or approval.is_satisfied(said.by, counts):
        await run.tx.run("set_approval", said.decision, said.by, approval_id)
    return None


def _inapplicable(approval: Approval, said: Said, what: str) -> tuple[str, PointsmanError] | None:
    """Why a decision does not apply to the question as it stands now, whoever makes it."""
    if approval.state != "open":
        became = _BECAME.get(approval.state, f"has been {approval.state}")
        return "closed", Conflict(f"{what} {became}", undone=_UNDONE, remedy="see `pointsman inbox`")
    if approval.card_digest != said.card_digest:
        return "card", Conflict(
            f"{what}: the card that was shown is not the card of this question",
            undone=_UNDONE,
            remedy="look at it again: `pointsman inbox`",
        )
    if not said.bound and not (approval.asks_for_value and approval.for_anybody):
        return "unbound", Conflict(
            f"{what} is {'not open to anybody' if approval.asks_for_value else 'about a call'}, so an answer has to name it",
            undone=_UNDONE,
            remedy=f"`{approval.command}`, or answer by its id: {{{approval.approval_id!r}: …}}",
        )
    if said.decision in (("approved", "edited") if approval.asks_for_value else ("answered",)):
        kind, ways = (
            ("asks for a value", "answer or reject it") if approval.asks_for_value else ("is about a call", "approve, reject or edit it")
        )
        return "kind", Conflict(f"{what} {kind}, so it cannot be {said.decision}", undone=_UNDONE, remedy=ways)
    return None


def _revoked(revoked: Revocations, said: Said, what: str) -> tuple[str, PointsmanError] | None:
    """Why the word of somebody who was revoked does not count."""
    revocation = revoked.of_principal(said.by)
    if revocation is None:
        return None
    return "revoked", NotAllowed(f"{said.by} was revoked by {revocation.by}, so they do not decide on {what}", undone=_UNDONE)


def _weighed(
    approval: Approval, said: Said, roles: Roles, events: list[Event], what: str
) -> tuple[tuple[int, ...], tuple[str, PointsmanError] | None]:
    """The needs, by place, that this person's word counts for; and why it counts for none."""
    refusals = [_forbidden(approval, place, said, roles, events, what) for place in range(len(approval.needs))]
    counts = tuple(place for place, refusal in enumerate(refusals) if refusal is None)
    return counts, None if counts else refusals[0]


def _forbidden(
    approval: Approval, place: int, said: Said, roles: Roles, events: list[Event], what: str
) -> tuple[str, PointsmanError] | None:
    """Why this person may not decide so, as far as one of the needs goes."""
    by, see, need = said.by, f"see {roles.path}", approval.needs[place]
    if said.known_by == NOBODY and not approval.for_anybody:
        whose = f"the role {need.role}" if need.role else "somebody who is known"
        return "nobody", NotAllowed(
            f"nobody is signed in, and {what} is for {whose}", undone=_UNDONE, remedy=f"sign in with a token, or `{approval.command}`"
        )
    if need.known_by and said.known_by not in need.known_by:
        ways = " or ".join(need.known_by)
        return "known_by", NotAllowed(f"{by} is known by {said.known_by}, and {what} needs somebody known by {ways}", undone=_UNDONE)
    if need.role is not None and not roles.holds(by, need.role):
        return "role", NotAllowed(
            f"{by} does not hold the role {need.role}, which decides on {what}", undone=_UNDONE, remedy=see + _claimable(roles, need.role)
        )
    if (need.quorum > 1 or need.not_by or len(approval.needs) > 1) and not roles.knows(by):
        return "unknown", NotAllowed(
            f"{by} is nobody that the project knows, and {what} must tell people apart", undone=_UNDONE, remedy=see
        )
    if said.decision == "rejected":  # a no needs nobody else, and is never too much
        return None
    if by in approval.approved_for(place):
        return "twice", NotAllowed(f"{by} has approved {what} already; it needs {_wanted(approval)}", undone=_UNDONE)
    return _separated(need, by, events, what)


def _claimable(roles: Roles, role: str) -> str:
    """How the role can be claimed, where the project lets whoever is at the terminal claim a name."""
    held = sorted(roles.held.get(role, ()))
    return f"; with --as a name that holds it can be claimed at the command line: {', '.join(held)}" if roles.allow_as and held else ""


def _wanted(approval: Approval) -> str:
    """Whose yes it takes, in words."""
    parts = [f"{need.quorum} different people" if need.quorum > 1 else "somebody" for need in approval.needs]
    of = [f"{part} of role {need.role}" if need.role else part for part, need in zip(parts, approval.needs, strict=True)]
    return " and ".join(of) if len(of) > 1 else parts[0]


def _separated(need: Need, by: str, events: list[Event], what: str) -> tuple[str, PointsmanError] | None:
    """Why separation of duty keeps a person out."""
    starter = events[0].fields.get("by")
    if "starter" in need.not_by and starter in (None, by):
        told = f"{by} started the run" if starter else "who started the run is not on record"
        remedy = None if starter else "start runs with by=, so that people can be told apart"
        return "starter", NotAllowed(f"{told}, and {what} is not for that person", undone=_UNDONE, remedy=remedy)
    if "editor" in need.not_by and by in editors(events):
        return "editor", NotAllowed(f"{by} put a value into the run, and {what} is not for that person", undone=_UNDONE)
    return None


def editors(events: Iterable[Event]) -> set[str]:
    """Everybody who put a value into a run by hand: edited a call, answered a question, patched a rerun, told the result of a call."""
    hands = {"edited", "answered"}
    told = (
        e for e in events if e.kind in ("run.repaired", "call.reconciled") or (e.kind == "ask.decided" and e.fields["decision"] in hands)
    )
    return {str(event.fields["by"]) for event in told if "by" in event.fields}


async def _refuse(run: Locked, approval: Approval, said: Said, reason: str, events: list[Event]) -> None:
    told = {"approval": approval.approval_id, "decision": said.decision, "by": said.by, "known_by": said.known_by, "reason": reason}
    if not any(event.kind == "ask.refused" and event.fields == told for event in events):
        await run.append(draft_event("ask.refused", run.owner.clock, approval.position, payloads={"card": approval.card_digest}, **told))


async def _expire(run: Locked, approval: Approval) -> None:
    await run.append(draft_event("ask.expired", run.owner.clock, approval.position, approval=approval.approval_id))
    statement, values = expired(approval)
    await run.tx.run(statement, *values)


async def fall_due(owner: Owner, run_id: str | None = None) -> list[str]:
    """Put on record that the time of questions has run out, of one run or of all, though no process was there when it did; the runs concerned."""
    now = owner.clock.now()
    found = []
    for row in await owner.store.fetch("runs_with_due_approvals", now, run_id, run_id):
        async with locked(owner, row["run_id"]) as run:
            due = [approval for approval in Approvals(await run.events()).open() if approval.is_due(now)]
            if due and run.row["state"] not in FINISHED:
                found.append(row["run_id"])
                for approval in due:
                    await _expire(run, approval)
    return found
