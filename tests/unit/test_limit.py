"""Caps, spend and accounts, one case at a time; `tests/laws` says what holds for all of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pointsman.errors import BadInput
from pointsman.limit import Account, Limits, Spend

ONE = Spend(tool_calls=1)


@pytest.mark.parametrize("cap", [-1, float("nan"), Decimal("-0.01"), Decimal("NaN"), True, False, "3"])
@pytest.mark.parametrize("name", ["model_calls", "tool_calls", "tokens", "usd", "seconds", "approvals"])
def test_a_cap_that_is_no_amount_is_refused(name: str, cap: Any) -> None:
    with pytest.raises(BadInput, match=name):
        Limits(**{name: cap})


def test_caps_are_exact() -> None:
    assert Limits(usd=0.1, tokens=3, seconds=0).caps() == {"usd": Decimal("0.1"), "tokens": Decimal(3), "seconds": Decimal(0)}
    assert Limits().caps() == {}


def test_a_cap_is_reached_and_not_passed() -> None:
    account = Account("run", Limits(tool_calls=2))
    assert account.reserve("a", ONE) is None
    assert account.reserve("b", ONE) is None
    exceeded = account.reserve("c", ONE)
    assert exceeded is not None
    assert (exceeded.account, exceeded.limit, exceeded.cap, exceeded.would_be) == ("run", "tool_calls", 2, 3)
    assert str(exceeded) == "tool_calls of run is capped at 2; this call could bring it to 3"


def test_a_cap_of_nothing_lets_nothing_begin() -> None:
    assert Account("run", Limits(tool_calls=0)).reserve("a", ONE) is not None


def test_what_was_reserved_and_not_spent_is_free_again() -> None:
    account = Account("run", Limits(tokens=100))
    assert account.reserve("a", Spend(tokens=100)) is None
    assert account.reserve("b", Spend(tokens=1)) is not None
    assert account.settle("a", Spend(tokens=40)) == []
    assert account.reserve("b", Spend(tokens=60)) is None
    account.release("b")
    assert account.reserve("c", Spend(tokens=60)) is None
    assert account.settled.tokens == 40


def test_a_refusal_reserves_nothing_anywhere() -> None:
    run = Account("run", Limits(tool_calls=1))
    node = Account("post", Limits(tool_calls=5), run)
    assert node.reserve("a", ONE) is None
    assert node.reserve("b", ONE) is not None
    node.release("a")
    assert node.reserve("c", ONE) is None


def test_nodes_share_the_run() -> None:
    run = Account("run", Limits(tool_calls=2))
    one, other = Account("a", Limits(), run), Account("b", Limits(tool_calls=1), run)
    assert other.reserve("1", ONE) is None
    assert other.reserve("2", ONE) is not None
    assert one.reserve("3", ONE) is None
    refused = one.reserve("4", ONE)
    assert refused is not None
    assert refused.account == "run"


def test_a_report_above_the_reservation_is_an_overrun_and_stops_the_next_call() -> None:
    run = Account("run", Limits(usd=1))
    assert run.reserve("a", Spend(usd=Decimal("0.9"))) is None
    (overrun,) = run.settle("a", Spend(usd=Decimal("1.2")))
    assert (overrun.limit, overrun.cap, overrun.would_be) == ("usd", 1, Decimal("1.2"))
    assert run.reserve("b", Spend(usd=Decimal("0.01"))) is not None


def test_an_open_intent_is_held_again_after_a_crash() -> None:
    run = Account("run", Limits(tool_calls=1))
    run.hold("open", ONE)
    assert run.reserve("next", ONE) is not None
    run.settle("open", ONE)
    assert run.settled == ONE


def test_seconds_are_those_of_work() -> None:
    worked = [Decimal(0)]
    run = Account("run", Limits(seconds=10), elapsed=lambda: worked[0])
    node = Account("post", Limits(seconds=3), run)
    assert node.remaining_seconds() == 3
    node.settle("a", Spend(seconds=Decimal(2)))
    assert node.remaining_seconds() == 1
    worked[0] = Decimal("9.5")
    assert node.remaining_seconds() == Decimal("0.5")
    worked[0] = Decimal(10)
    refused = Account("other", Limits(), run).reserve("b", ONE)
    assert refused is not None
    assert refused.limit == "seconds"
    assert Account("free", Limits()).remaining_seconds() is None


def test_spend_is_written_and_read_back() -> None:
    spend = Spend(tool_calls=2, usd=Decimal("0.010"), seconds=Decimal("1.5"))
    assert spend.data() == {"tool_calls": 2, "usd": "0.010", "seconds": "1.5"}
    assert Spend.of(spend.data()) == spend
    assert Spend.of({}) == Spend()
    assert Spend(tokens=1) + Spend(tokens=2, usd=Decimal(1)) == Spend(tokens=3, usd=Decimal(1))
