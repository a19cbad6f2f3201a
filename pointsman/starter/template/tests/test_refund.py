"""The refund workflow from end to end."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pointsman import Runs
from pointsman.errors import NotAllowed
from pointsman.evidence import verify

from evals.refund_messages import MESSAGES, mark

pytestmark = pytest.mark.anyio


def paid(folder: Path) -> list[tuple[str, str]]:
    """What the till of a test has paid."""
    with closing(sqlite3.connect(folder / "till.db")) as till:
        till.execute("CREATE TABLE IF NOT EXISTS paid (key TEXT PRIMARY KEY, for_order TEXT, amount TEXT)")
        return till.execute("SELECT for_order, amount FROM paid").fetchall()


async def test_a_small_refund_is_paid_once(runs: Runs, tmp_path: Path) -> None:
    message = {"message": "Order A-17 came broken, please pay 30.00 back."}
    for _ in range(2):  # the same key is the same run
        run = await runs.start("refund", message, key="mail 1")
        assert (await run.settled()).state == "done"
    assert paid(tmp_path) == [("A-17", "30.00")]


async def test_a_large_refund_waits_for_a_lead(runs: Runs, tmp_path: Path) -> None:
    run = await runs.start("refund", {"message": "Order A-17 came broken, please pay 80.00 back."})
    assert (await run.settled()).state == "waiting"
    [item] = await runs.inbox()
    with pytest.raises(NotAllowed):
        await runs.approve(item, by="lee")
    assert paid(tmp_path) == []
    await runs.approve(item, by="dana", note="saw the photograph")
    assert (await run.settled()).state == "done"
    assert paid(tmp_path) == [("A-17", "80.00")]
    assert await verify(runs.owner.store, run.run_id) == []


async def test_a_huge_refund_is_denied(runs: Runs, tmp_path: Path) -> None:
    run = await runs.start("refund", {"message": "Order A-17 came broken, please pay 8000.00 back."})
    assert (await run.settled()).state == "failed"
    assert (await runs.inbox(), paid(tmp_path)) == ([], [])


async def test_what_neither_rule_nor_model_reads_goes_to_a_clerk(runs: Runs, tmp_path: Path) -> None:
    run = await runs.start("refund", {"message": "The lamp is scratched, twenty would be fair"})
    assert (await run.settled()).state == "waiting"
    [item] = await runs.inbox(role="clerk")
    await runs.answer(item, {"order": "A-18", "amount": "20.00"}, by="lee")
    assert (await run.settled()).state == "done"
    assert paid(tmp_path) == [("A-18", "20.00")]


@pytest.mark.parametrize("message", MESSAGES)
def test_the_rule_reads_nothing_wrong(message: str) -> None:
    assert mark(message) != "wrong"
