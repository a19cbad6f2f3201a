"""What a run may spend: caps declared, reserved before each call, settled after it, never overshot.

Accounts nest (run > node > agent); a run's seconds are those its segments were open, a node's those of its calls. A call reserves
its worst case in every account above it at once, in plain code without an await, so parallel branches cannot pass a cap together.
All of it can be rebuilt from the journal: settled spend from outcomes, reservations from intents that are still open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from pointsman.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps on one workflow, node or agent; None means no cap of its own (those above still hold).

    `model_calls`, `tool_calls` and `approvals` count, retries and auxiliary calls included; `tokens` are input plus output;
    `usd` are US dollars; `seconds` are seconds of work, not of waiting for a person.
    """

    model_calls: int | None = None
    tool_calls: int | None = None
    tokens: int | None = None
    usd: Decimal | float | None = None
    seconds: float | None = None
    approvals: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            cap = getattr(self, field.name)
            if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int | float | Decimal) or math.isnan(cap) or cap < 0):
                raise BadInput(
                    f"the limit {field.name}={cap!r} is not a number from 0 up",
                    remedy=f"declare {field.name} as 0 or more, or leave it out",
                )

    def caps(self) -> dict[str, Decimal]:
        """The declared caps by name, as exact decimals."""
        declared = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: Decimal(str(cap)) for name, cap in declared if cap is not None}

    def data(self) -> dict[str, str]:
        """The declared caps as plain data, for the graph's fingerprint."""
        return {name: str(cap) for name, cap in self.caps().items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """An amount of each thing that limits count; same units as `Limits`."""

    model_calls: int = 0
    tool_calls: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)
    seconds: Decimal = Decimal(0)
    approvals: int = 0

    def __add__(self, other: Spend) -> Spend:
        amounts: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in _NAMES}
        return Spend(**amounts)

    def amounts(self) -> dict[str, Decimal]:
        """Every amount, zeros too, as an exact decimal."""
        return {name: Decimal(getattr(self, name)) for name in _NAMES}

    def data(self) -> dict[str, Any]:
        """The amounts that are not zero, decimals as text: the form journals keep."""
        amounts = ((name, getattr(self, name)) for name in _NAMES)
        return {name: amount if isinstance(amount, int) else str(amount) for name, amount in amounts if amount}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Spend:
        """The spend that `data()` wrote."""
        amounts: dict[str, Any] = {name: amount if isinstance(amount, int) else Decimal(amount) for name, amount in data.items()}
        return cls(**amounts)


_NAMES = tuple(field.name for field in fields(Spend))


@dataclass(frozen=True, slots=True)
class Exceeded:
    """Which cap a call would have passed."""

    account: str
    """Name of the account: `run`, or the node's name."""
    limit: str
    cap: Decimal
    would_be: Decimal

    def __str__(self) -> str:
        return f"{self.limit} of {self.account} is capped at {self.cap}; this call could bring it to {self.would_be}"


class _Book:
    """What an account holds, however it is reached."""

    def __init__(self) -> None:
        self.settled = Spend()
        self.reserved: dict[str, Spend] = {}
        self.overrun: Exceeded | None = None


class Account:
    """What one run, node or agent has spent and holds in reserve, under its caps and those of its parent."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        parent: Account | None = None,
        *,
        elapsed: Callable[[], Decimal] | None = None,
        looks: Account | None = None,
    ) -> None:
        self.name = name
        self.looks = looks
        """The account that is charged in its place for what is looked at for the card of a question; None where it is charged itself."""
        self._parent = parent
        self._elapsed = elapsed
        self._caps = limits.caps()
        self._book = _Book()

    def under(self, parent: Account) -> Account:
        """The same account, for calls that also spend from `parent`: a node within several executions of another has one account, and each execution pays its own part."""
        other = copy(self)
        other._parent = parent
        return other

    def looking(self) -> Account:
        """What pays for what is looked at for the card of a question: this account and those above, each by its own for looks where it has one."""
        mine = self.looks or self
        return mine.under(self._parent.looking()) if self._parent else mine

    @property
    def settled(self) -> Spend:
        """What has been spent."""
        return self._book.settled

    def reserve(self, call: str, worst: Spend) -> Exceeded | None:
        """Hold `worst` for `call` here and in every account above, or in none; says which cap would be passed."""
        exceeded = self._would_exceed(worst)
        if exceeded is None:
            for account in self._upward():
                account._book.reserved[call] = worst
        return exceeded

    def hold(self, call: str, worst: Spend) -> None:
        """Take over the reservation of an intent that is already on record; it was within the caps when it was made."""
        for account in self._upward():
            account._book.reserved[call] = worst

    def settle(self, call: str, actual: Spend) -> list[Exceeded]:
        """Replace the reservation of `call` by what it really cost; lists the capped amounts of which it was more than reserved, or than the cap.

        After such a report no bound that was worked out before a call can be trusted, so the account reserves nothing more.
        """
        overruns = []
        for account in self._upward():
            held = account._book.reserved.pop(call, None)
            account._book.settled += actual
            passed = account._passed(held, actual)
            account._book.overrun = account._book.overrun or (passed[0] if passed else None)
            overruns += passed
        return overruns

    def release(self, call: str) -> None:
        """Give a reservation back: nothing was begun."""
        for account in self._upward():
            account._book.reserved.pop(call, None)

    def is_capped(self, name: str) -> bool:
        """Whether an amount is capped here or above."""
        return any(name in account._caps for account in self._upward())

    def remaining_seconds(self) -> Decimal | None:
        """The least number of seconds of work left here or above; None without a cap."""
        left = [account._caps["seconds"] - account._seconds() for account in self._upward() if "seconds" in account._caps]
        return min(left) if left else None

    def _upward(self) -> list[Account]:
        return [self, *(self._parent._upward() if self._parent else [])]

    def _seconds(self) -> Decimal:
        return self._elapsed() if self._elapsed else self.settled.seconds

    def _committed(self, name: str) -> Decimal:
        if name == "seconds":
            return self._seconds()
        amounts = [getattr(self.settled, name), *(getattr(held, name) for held in self._book.reserved.values())]
        return sum((Decimal(amount) for amount in amounts), Decimal(0))

    def _would_exceed(self, worst: Spend) -> Exceeded | None:
        for account in self._upward():
            if account._book.overrun is not None:
                return account._book.overrun
            for name, cap in account._caps.items():
                would_be = account._committed(name) + Decimal(getattr(worst, name))
                # Time is not reserved: a call is cut off at what is left, so only an empty account refuses.
                if would_be > cap or (name == "seconds" and would_be >= cap):
                    return Exceeded(account.name, name, cap, would_be)
        return None

    def _passed(self, held: Spend | None, actual: Spend) -> list[Exceeded]:
        passed = []
        for name, cap in self._caps.items():
            amount = Decimal(getattr(self.settled, name))
            above = held is not None and getattr(actual, name) > getattr(held, name)
            if name != "seconds" and (amount > cap or above):
                passed.append(Exceeded(self.name, name, cap, amount))
        return passed
