"""Taking something away from all runs, while they go on, and giving it back: a person or service, a tool, a rule.

Once `revoke` returns, no call begins that it strikes, in any process; whoever begins one proves in the same transaction that it knows. What
rests on it and waits for a person is void. It is told on the record of each run that it touches: of those whose questions it voids at once, of
others with the first call that it strikes. A process that dies in between leaves questions open that lead to no call, and no more.

What is given back counts from each run's next call on; what was denied or voided meanwhile stays so.
"""

from __future__ import annotations

from collections.abc import Iterable

from pointsman.approval import Approval, Approvals, expired
from pointsman.controlled import Controlled
from pointsman.errors import BadInput, NotAllowed, NotFound
from pointsman.event import Event
from pointsman.gateway.permits import changed
from pointsman.journal import draft_event
from pointsman.lease import Owner
from pointsman.opening import FINISHED
from pointsman.outside import locked
from pointsman.policy.revocation import KINDS, Revocation, Revocations
from pointsman.principal import check_name


async def revoke(owner: Owner, kind: str, name: str, *, by: str, reason: str) -> tuple[Revocation, list[str]]:
    """Take something away; it, and the runs whose questions it voided. Raises `BadInput`."""
    _check(kind, name, by, "nothing was revoked")
    async with owner.store.transaction() as tx:
        row = await tx.one("revoke", kind, name, by, reason)
    assert row is not None
    revocation = Revocation.of(row)
    return revocation, [
        row["run_id"] for row in await owner.store.fetch("runs_with_standing_approvals") if await _void(owner, row["run_id"], revocation)
    ]


async def check_known(owner: Owner, graphs: Iterable[Controlled], kind: str, name: str) -> None:
    """Raises `NotFound` for a tool or a rule that none of the workflows has and no call on record names: a slip of the pen would revoke nothing, and say it did.

    Who acts need not be known anywhere, models are chosen elsewhere, and a plain graph calls what it likes: such names are taken as they are.
    """
    loaded = list(graphs)
    if kind == "principal" or ":" in name or not all(graph.knows_its_tools for graph in loaded):
        return
    known = {name for graph in loaded for name in ((*graph.tools, *graph.agents) if kind == "tool" else graph.rules)}
    if not known or name in known or await owner.store.fetch("calls_on_record", kind == "tool", name, name):
        return
    raise NotFound(
        f"no workflow of this project has a {kind} {name!r}, and no call on record names one",
        undone="nothing was revoked",
        remedy=f"{kind}s there are: {', '.join(sorted(known))}",
    )


async def reinstate(owner: Owner, kind: str, name: str, *, by: str, reason: str) -> None:
    """Give back what was revoked. Raises `BadInput`, `NotFound` where no revocation of it stands, `NotAllowed` where `by` is revoked."""
    undone = "nothing was reinstated"
    _check(kind, name, by, undone)
    async with owner.store.transaction() as tx:
        ended = await tx.fetch("reinstate", kind, name, by, reason)
        told = list(map(Revocation.of, await tx.fetch("revocations")))
        # As it stood before: nobody gives themselves back.
        before = Revocations(each for each in told if each.number not in {row["number"] for row in ended})
        if (revoked := before.of_principal(by)) is not None:
            raise NotAllowed(f"{by} was revoked by {revoked.by}, so they give nothing back", undone=undone)
        if not ended:
            raise NotFound(f"the {kind} {name} is not revoked", undone=undone, remedy="`pointsman revoke` lists what is")


def _check(kind: str, name: str, by: str, undone: str) -> None:
    check_name(by, undone)
    if kind not in KINDS or not name.strip():
        raise BadInput(
            "one principal, tool or rule has to be named", undone=undone, remedy="name exactly one; for several, say it several times"
        )


async def revocations(owner: Owner) -> list[Revocation]:
    """All that was revoked or reinstated, the oldest first."""
    return [Revocation.of(row) for row in await owner.store.fetch("revocations")]


async def _void(owner: Owner, run_id: str, revocation: Revocation) -> bool:
    """Void the questions of a run about calls that rest on what was revoked; whether there are any."""
    async with locked(owner, run_id) as run:
        events = await run.events()
        void = [approval for approval in Approvals(events).standing() if _rests_on(approval, events, revocation)]
        if not void or run.row["state"] in FINISHED:
            return False
        reason = await run.keep(revocation.reason)
        await run.append(changed(lambda kind, **told: draft_event(kind, owner.clock, **told), revocation, reason))
        for approval in void:
            await run.append(
                draft_event("ask.expired", owner.clock, approval.position, approval=approval.approval_id, revocation=revocation.number)
            )
            statement, values = expired(approval)
            await run.tx.run(statement, *values)
    return True


def _rests_on(approval: Approval, events: list[Event], revocation: Revocation) -> bool:
    """Whether a question is about a call that the revocation strikes, or has a yes of whom it takes away."""
    if approval.asks_for_value:
        return False
    strikes = revocation.strikes(tool=approval.tool, principal=events[0].fields.get("by"), rules=approval.rules)
    return strikes or (revocation.kind == "principal" and revocation.name in approval.yes)
