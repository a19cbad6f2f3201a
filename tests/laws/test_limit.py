"""For every script of calls over nested accounts: reserved and settled together never pass a cap."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from pointsman.limit import Account, Limits, Spend

COUNTED = ("model_calls", "tool_calls", "tokens", "usd", "approvals")
amounts = st.integers(0, 5)
spends = st.builds(
    Spend, model_calls=amounts, tool_calls=amounts, tokens=amounts, usd=amounts.map(lambda cents: Decimal(cents) / 100), approvals=amounts
)
caps = st.none() | st.integers(0, 12)
limits = st.builds(Limits, model_calls=caps, tool_calls=caps, tokens=caps, usd=st.none() | st.decimals(0, "0.12", places=2), approvals=caps)
LEVELS = {"run": None, "a": "run", "b": "run", "a agent": "a"}


def of(spend: Spend, name: str) -> Decimal:
    return Decimal(getattr(spend, name))


class Script(RuleBasedStateMachine):
    """Calls of two nodes and an agent under one run, with a plain book beside the accounts."""

    calls = Bundle("calls")

    @initialize(given=st.tuples(limits, limits, limits, limits))
    def open(self, given: tuple[Limits, ...]) -> None:
        self.accounts: dict[str, Account] = {}
        for (name, parent), its in zip(LEVELS.items(), given, strict=True):
            self.accounts[name] = Account(name, its, self.accounts[parent] if parent else None)
        self.caps = {name: its.caps() for name, its in zip(LEVELS, given, strict=True)}
        self.reserved: dict[str, tuple[str, Spend]] = {}
        self.settled = dict.fromkeys(LEVELS, Spend())
        self.count = 0

    @staticmethod
    def above(name: str | None) -> list[str]:
        return [name, *Script.above(LEVELS[name])] if name else []

    def committed(self, account: str, name: str) -> Decimal:
        held = [of(worst, name) for place, worst in self.reserved.values() if account in self.above(place)]
        return of(self.settled[account], name) + sum(held, Decimal(0))

    @rule(target=calls, place=st.sampled_from(list(LEVELS)), worst=spends)
    def reserve(self, place: str, worst: Spend) -> str | None:
        self.count += 1
        call = f"call {self.count}"
        refused = self.accounts[place].reserve(call, worst)
        fits = all(
            self.committed(level, name) + of(worst, name) <= cap for level in self.above(place) for name, cap in self.caps[level].items()
        )
        assert (refused is None) == fits, "a call is refused exactly where it could pass a cap"
        if refused is None:
            self.reserved[call] = (place, worst)
        return call if refused is None else None

    @rule(call=consumes(calls), share=st.fractions(0, 1))
    def settle(self, call: str | None, share: float) -> None:
        if call is not None:
            place, worst = self.reserved.pop(call)
            actual = Spend(
                **{name: type(getattr(worst, name))(int(of(worst, name) * 100 * Decimal(float(share))) // 100) for name in COUNTED}
            )
            assert self.accounts[place].settle(call, actual) == []
            for level in self.above(place):
                self.settled[level] += actual

    @rule(call=consumes(calls))
    def release(self, call: str | None) -> None:
        if call is not None:
            place, _ = self.reserved.pop(call)
            self.accounts[place].release(call)

    @invariant()
    def no_cap_is_passed(self) -> None:
        for level, its in getattr(self, "caps", {}).items():
            assert self.accounts[level].settled == self.settled[level]
            for name, cap in its.items():
                assert self.committed(level, name) <= cap


Script.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestScript = Script.TestCase
