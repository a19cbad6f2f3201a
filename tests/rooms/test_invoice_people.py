"""The invoice workflow with its people and its model: a clerk for what is in doubt, a controller above the ceiling, and nobody by accident."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from graphs.invoice import graph
from guards.finance import CEILINGS, policy
from nodes.invoice import Draft
from pointsman import Runs, canonical
from pointsman.errors import BadInput, Conflict, NotAllowed, NotFound, PointsmanError
from pointsman.policy import Facts, Verdict
from pointsman.runs import Item, Run
from pointsman.testing import OpenAIServer, StillClock, recorded
from tests.rooms.actors import ROOT, LedgerProcess
from tools.ledger import Invoice

pytestmark = pytest.mark.anyio

SAMPLES = ROOT / "samples" / "invoices"
OpenRuns = Callable[..., AbstractAsyncContextManager[Runs]]
LARGE = "2024-131.pdf"
"""10,545.78 EUR, read by rule."""


@pytest.fixture(autouse=True)
def roles(home: Path) -> Path:
    """The repository's own roles, and a second controller."""
    (home / "guards").mkdir()
    path = home / "guards" / "roles.toml"
    path.write_text((ROOT / "guards" / "roles.toml").read_text(encoding="utf-8").replace('["dana"]', '["dana", "kim"]'), encoding="utf-8")
    return path


@pytest.fixture
def ledger(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ledger that serves, and that the client finds."""
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    monkeypatch.delenv("LEDGER_URL", raising=False)
    process = LedgerProcess(home / "ledger")
    process.start()
    yield process
    process.close()


async def waiting(runs: Runs, name: str) -> tuple[Run, Item]:
    """A run of a sample that waits, and what it waits for."""
    run = await runs.start("invoice", {"path": SAMPLES / name}, by="ann")
    assert (await run.settled()).state == "waiting"
    return run, await asked(runs, run)


async def asked(runs: Runs, run: Run) -> Item:
    [item] = [item for item in await runs.inbox() if item.run_id == run.run_id]
    return item


def amounts(ledger: LedgerProcess) -> list[Decimal]:
    """What the ledger has posted."""
    entries: Any = ledger.get("/entries")
    return [Decimal(entry["effect"]) for entry in entries]


def instead_of_kim(roles: Path, name: str) -> None:
    """Gives kim's role to somebody else."""
    roles.write_text(roles.read_text(encoding="utf-8").replace('"kim"', f'"{name}"'), encoding="utf-8")


def times(invoice: Invoice, factor: Decimal | int) -> Invoice:
    """The same invoice over more money, every sum of it."""
    names = ("net", "tax", "total", "due")
    return invoice.model_copy(update={name: getattr(invoice, name) * factor for name in names} | {"taxes": ()})


async def refused(runs: Runs, run: Run) -> list[tuple[str, str]]:
    return [(event.fields["by"], event.fields["reason"]) for event in await runs.events(run) if event.kind == "ask.refused"]


async def reason(runs: Runs, run: Run) -> str:
    [failed] = [event for event in await runs.events(run) if event.kind == "run.failed"]
    return str((await runs.payloads(run))[failed.payloads["reason"]])


async def test_an_approval_is_good_for_one_posting(open_runs: OpenRuns, ledger: LedgerProcess) -> None:
    async with open_runs(graph) as runs:
        run, item = await waiting(runs, LARGE)
        assert (item.role, item.card["arguments"]["invoice"]["total"]) == ("controller", {"$decimal": "10545.78"})
        assert amounts(ledger) == []
        await runs.approve(item, by="dana")
        assert (await run.settled()).state == "done"
        with pytest.raises(Conflict):
            await runs.approve(item, by="dana")
        assert amounts(ledger) == [Decimal("10545.78")]


@pytest.mark.parametrize("node", ["check", "post"])
async def test_an_approval_is_none_for_what_the_state_was_patched_to(open_runs: OpenRuns, ledger: LedgerProcess, node: str) -> None:
    async with open_runs(graph) as runs:
        run, item = await waiting(runs, LARGE)
        more = times(Invoice.model_validate(await _invoice(runs, run)), 10)
        patch = {"draft": Draft(invoice=more)} if node == "check" else {"invoice": more}
        await runs.rerun(run, node=node, patch=patch, by="kim", reason="a zero was missing")
        assert (await run.settled()).state == "waiting"
        with pytest.raises(Conflict):
            await runs.approve(item, by="dana")
        if node == "check":  # the claim has been made already, with the other total
            correction = await asked(runs, run)
            assert (correction.tool, correction.card["rule"]) == ("register_invoice", "correction")
            await runs.approve(correction, by="lee")
            await run.settled()
        new = await asked(runs, run)
        assert new.card["arguments"]["invoice"]["total"] == {"$decimal": "105457.8"}
        with pytest.raises(NotAllowed, match="kim"):  # who put the value into it
            await runs.approve(new, by="kim")
        assert amounts(ledger) == []
        await runs.approve(new, by="dana")
        assert (await run.settled()).state == "done"
        assert amounts(ledger) == [Decimal("105457.80")]
        assert await refused(runs, run) == [("dana", "closed"), ("kim", "editor")]


async def test_edited_amounts_are_asked_about_on_a_card_of_their_own(open_runs: OpenRuns, ledger: LedgerProcess) -> None:
    async with open_runs(graph) as runs:
        run, item = await waiting(runs, LARGE)
        more = times(Invoice.model_validate(await _invoice(runs, run)), 10)
        await runs.edit(item, {"invoice": more.model_dump(mode="json")}, by="dana")
        assert (await run.settled()).state == "waiting"
        new = await asked(runs, run)
        assert new.card["edited"]["by"] == "dana"
        for stale, by in ((item, "kim"), (new, "dana")):
            with pytest.raises((Conflict, NotAllowed)):
                await runs.approve(stale, by=by)
        assert amounts(ledger) == []
        await runs.approve(new, by="kim")
        assert (await run.settled()).state == "done"
        assert amounts(ledger) == [Decimal("105457.80")]


async def test_an_edit_that_contradicts_the_rest_is_for_another_controller(open_runs: OpenRuns, ledger: LedgerProcess) -> None:
    async with open_runs(graph) as runs:
        run, item = await waiting(runs, LARGE)
        small = await _invoice(runs, run) | {"total": "480.00", "due": "480.00"}  # far below the ceiling, and the net amount says more
        await runs.edit(item, {"invoice": small}, by="dana")
        assert (await run.settled()).state == "waiting"
        new = await asked(runs, run)
        assert (new.card["rule"], new.role) == ("consistent", "controller")
        assert "and not the total 480" in new.card["reason"]
        with pytest.raises(NotAllowed, match="dana"):
            await runs.approve(new, by="dana")
        await runs.reject(new, by="kim")
        assert (await run.settled()).state == "failed"
        assert amounts(ledger) == []


@pytest.mark.parametrize("patch", [{"number": None}, {"type_code": "381"}, {"tax": "0"}, {"due_date": "1999-01-01"}, {"due": "480"}])
async def test_what_is_patched_in_behind_the_check_is_looked_at_all_the_same(
    open_runs: OpenRuns, ledger: LedgerProcess, patch: dict[str, Any]
) -> None:
    async with open_runs(graph) as runs:
        run, _ = await waiting(runs, LARGE)
        fifth = times(Invoice.model_validate(await _invoice(runs, run)), Decimal("0.2")).model_dump(mode="json")  # within the ceiling
        await runs.rerun(run, node="post", patch={"invoice": fifth | patch}, by="dana", reason="sure of it")
        state = (await run.settled()).state
        if patch == {"number": None}:
            assert (state, await reason(runs, run)) == ("failed", "it lacks number")
        else:
            assert (state, (await asked(runs, run)).card["rule"]) == ("waiting", "consistent")
            with pytest.raises(NotAllowed):
                await runs.approve(await asked(runs, run), by="dana")
        assert amounts(ledger) == []


async def test_what_does_not_apply_decides_nothing(open_runs: OpenRuns, ledger: LedgerProcess, roles: Path) -> None:
    async with open_runs(graph) as runs:
        run, item = await waiting(runs, LARGE)
        clerks, doubt = await waiting(runs, "2024-118.pdf")
        instead_of_kim(roles, "max")
        wrong: list[tuple[Item, str, type[PointsmanError]]] = [
            (replace(item, card_digest=doubt.card_digest), "dana", Conflict),  # another card than the one that is asked about
            (replace(item, run_id=clerks.run_id), "dana", NotFound),
            (replace(item, approval_id="0" * 32), "dana", NotFound),
            (item, "lee", NotAllowed),
            (item, "kim", NotAllowed),  # held the role when it was asked
            (item, "", BadInput),
            (doubt, "lee", Conflict),  # a value is asked for, not a yes
        ]
        for bad, by, error in wrong:
            with pytest.raises(error):
                await runs.approve(bad, by=by)
        with pytest.raises(NotAllowed):
            await runs.answer(doubt, {"invoice": {}, "confirmed": ["total"]}, by="dana")
        assert amounts(ledger) == []
        assert await refused(runs, run) == [("dana", "card"), ("lee", "role"), ("kim", "role")]
        assert await refused(runs, clerks) == [("lee", "kind"), ("dana", "role")]
        for waits in (run, clerks):
            assert (await waits.summary()).state == "waiting"


@pytest.mark.parametrize("decision", ["rejected", "expired"])
async def test_without_a_yes_nothing_is_posted(open_runs: OpenRuns, ledger: LedgerProcess, decision: str) -> None:
    clock = StillClock()
    async with open_runs(graph, clock=clock) as runs:
        run, item = await waiting(runs, LARGE)
        if decision == "rejected":
            await runs.reject(item, by="dana", note="never ordered")
        else:
            clock.advance(timedelta(days=15))
            await runs.fall_due()
        assert (await run.settled()).state == "failed"
        assert ("dana rejected it" if decision == "rejected" else "not decided in time") in await reason(runs, run)
        assert amounts(ledger) == []


async def test_a_clerk_corrects_and_the_check_looks_again(open_runs: OpenRuns, ledger: LedgerProcess) -> None:
    async with open_runs(graph) as runs:
        run, item = await waiting(runs, "2024-118.pdf")
        assert [finding["code"] for finding in item.card["shows"]["findings"]] == ["total"]
        assert item.card["shows"]["path"]["name"] == "2024-118.pdf"
        draft = await _draft(runs, run)
        with pytest.raises(BadInput, match="total"):
            await runs.answer(item, {"invoice": draft["invoice"] | {"total": "much"}}, by="lee")
        await runs.answer(item, {"invoice": draft["invoice"] | {"total": "1870.68"}}, by="lee")
        assert (await run.settled()).state == "waiting", "the amount due still says something else"
        again = await asked(runs, run)
        assert [finding["code"] for finding in again.card["shows"]["findings"]] == ["due"]
        draft = await _draft(runs, run)
        await runs.answer(again, {"invoice": draft["invoice"] | {"due": "1870.68"}}, by="lee")
        assert (await run.settled()).state == "done"
        assert amounts(ledger) == [Decimal("1870.68")]


async def test_a_clerk_who_raises_an_amount_needs_a_controller_who_is_somebody_else(
    open_runs: OpenRuns, ledger: LedgerProcess, roles: Path
) -> None:
    instead_of_kim(roles, "lee")
    async with open_runs(graph) as runs:
        run, item = await waiting(runs, "2024-118.pdf")
        right = (await _draft(runs, run))["invoice"] | {"total": "1870.68", "due": "1870.68"}
        large = times(Invoice.model_validate(right), 10)
        await runs.answer(item, {"invoice": large.model_dump(mode="json")}, by="lee")
        assert (await run.settled()).state == "waiting"
        asks = await asked(runs, run)
        assert asks.role == "controller"
        with pytest.raises(NotAllowed):
            await runs.approve(asks, by="lee")
        assert amounts(ledger) == []


async def test_a_clerk_is_asked_three_times_at_most(open_runs: OpenRuns, ledger: LedgerProcess) -> None:
    async with open_runs(graph) as runs:
        run, item = await waiting(runs, "2024-118.pdf")
        for _ in range(3):
            item = await asked(runs, run)
            await runs.answer(item, await _draft(runs, run), by="lee")
            await run.settled()
        assert (await run.summary()).state == "failed"
        assert "visited 3 times" in await reason(runs, run)
        assert amounts(ledger) == []


@pytest.mark.parametrize("decision", ["rejected", "expired"])
async def test_what_no_clerk_settles_is_not_posted(open_runs: OpenRuns, ledger: LedgerProcess, decision: str) -> None:
    clock = StillClock()
    async with open_runs(graph, clock=clock) as runs:
        run, item = await waiting(runs, "scan-0412.pdf")
        if decision == "rejected":
            await runs.reject(item, by="lee", note="not for us")
        else:
            clock.advance(timedelta(days=4))
            await runs.fall_due()
        summary = await run.settled()
        assert (summary.state, summary.quarantined) == ("failed", decision == "rejected")
        assert ("lee rejected it" if decision == "rejected" else "nobody answered in time") in await reason(runs, run)
        assert amounts(ledger) == []


async def test_a_model_is_sent_the_text_and_no_more_and_is_asked_once(
    open_runs: OpenRuns, ledger: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = json.loads((SAMPLES.parent / "recorded_answers.json").read_text(encoding="utf-8"))
    truth = json.loads(SAMPLES.with_suffix(".json").read_text(encoding="utf-8"))
    monkeypatch.setenv("POINTSMAN_MODEL", "openai:recorded-answers")
    with OpenAIServer(recorded(entries)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        async with open_runs(graph) as runs:
            ends = {}
            for entry in entries:
                run = await runs.start("invoice", {"path": SAMPLES / entry["document"]})
                state = (await run.settled()).state
                ends[entry["document"]] = "posted" if state == "done" else (await asked(runs, run)).role
                [intent] = [event for event in await runs.events(run) if event.kind == "call.intent" and event.fields["effect"] == "model"]
                egress = intent.fields["egress"]
                assert list(egress["fields"]) == ["text"]
                assert (egress["provider"], egress["model"]) == ("openai", "recorded-answers")
                [outcome] = [e for e in await runs.events(run) if e.kind == "call.outcome" and e.fields["call"] == intent.fields["call"]]
                assert (await runs.payloads(run))[outcome.payloads["result"]]["model"] == "recorded:recorded-answers"
    assert ends == {entry["document"]: truth[entry["document"]]["end"] for entry in entries}
    assert len(server.seen) == len(entries)
    assert not any("sha256" in seen.text or ".pdf" in seen.text for seen in server.seen)


@pytest.mark.parametrize("answer", ["none", "dead", "404", "abstains"])
async def test_without_an_answer_the_clerk_reads(
    open_runs: OpenRuns, ledger: LedgerProcess, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    entries = [{"when": ["RR/118"], "abstain": "I cannot tell"}] if answer == "abstains" else []
    with OpenAIServer(recorded(entries)) as server:
        if answer != "none":
            monkeypatch.setenv("POINTSMAN_MODEL", "openai:recorded-answers")
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url if answer != "dead" else "http://127.0.0.1:9/v1")
        async with open_runs(graph) as runs:
            run, item = await waiting(runs, "RR-118.pdf")
            assert item.role == "clerk"
            assert {finding["code"] for finding in item.card["shows"]["findings"]} >= {"missing.number", "missing.total"}
            truth = json.loads(SAMPLES.with_suffix(".json").read_text(encoding="utf-8"))["RR-118.pdf"]["fields"]
            await runs.answer(item, {"invoice": truth}, by="lee")
            assert (await run.settled()).state == "done"
    assert amounts(ledger) == [Decimal("1488.00")]


def verdict(**fields: Any) -> Verdict:
    invoice = Invoice(currency="EUR", total=Decimal(100), due=Decimal(100)).model_copy(update=fields)
    return policy.decide(Facts("post_invoice", "write", {"invoice": invoice})).verdict


@pytest.mark.parametrize("currency", CEILINGS)
@pytest.mark.parametrize("name", ["total", "due"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_ceiling_holds_for_each_sum_in_each_currency_and_direction(currency: str, name: str, sign: int) -> None:
    at = CEILINGS[currency] * sign
    assert verdict(currency=currency, **{name: at}) is Verdict.ALLOW
    assert verdict(currency=currency, **{name: at + sign * Decimal("0.01")}) is Verdict.ASK


def test_what_has_no_ceiling_is_asked_about_and_what_is_no_amount_is_denied() -> None:
    assert verdict(currency="SEK") is Verdict.ASK
    assert verdict(currency="eur") is Verdict.ASK
    assert verdict(total=None) is Verdict.DENY
    assert verdict(due=Decimal("NaN")) is Verdict.DENY
    assert policy.decide(Facts("pay_out", "write", {})).verdict is Verdict.DENY


async def _draft(runs: Runs, run: Run) -> dict[str, Any]:
    """The draft as it stands on the newest card, as plain values."""
    found: dict[str, Any] = canonical.decode((await asked(runs, run)).card["shows"]["draft"])
    return found


async def _invoice(runs: Runs, run: Run) -> dict[str, Any]:
    found: dict[str, Any] = canonical.decode((await asked(runs, run)).card["arguments"]["invoice"])
    return found
