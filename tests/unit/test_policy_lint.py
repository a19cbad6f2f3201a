"""What the linter says of a policy: what can never be, and what rarely is meant."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pointsman.policy import Policy, allow, arg, ask, deny, label, node, rate
from pointsman.policy.lint import lint
from pointsman.policy.range import possible
from pointsman.principal import Roles

total = arg("total")
TOOLS = {"pay": "submit", "look": "read"}


def told(*lines: Any, **about: Any) -> list[tuple[str, bool]]:
    return [(finding.rule, finding.wrong) for finding in lint(Policy(*lines), **about)]


def test_of_a_sound_policy_nothing_is_said() -> None:
    rules = allow("pay", when=total <= 500), ask("pay", when=total > 500, role="boss"), deny("pay", when=total > 10_000), allow("look")
    assert told(*rules, rate("pay", calls=1, per=rate("pay", calls=1, per=_minute()).per), tools=TOOLS, roles=_roles(boss=["dana"])) == []


@pytest.mark.parametrize(
    "condition",
    [
        (total <= 5) & (total > 5),
        (total < 5) & (total >= Decimal("5.0")),
        (total == 5) & (total == 6),
        (total == 5) & (total != 5),
        total.is_in((1, 2)) & (total > 2),
        total.is_in(()),
        ~((total <= 5) | (total > 5)),
        (total > 5) & ((total < 1) | (total == "a")),
        (node == "a") & (node == "b"),
        (label("to").integrity == "trusted") & (label("to").integrity < "endorsed"),
        (total >= 5) & (total <= 5) & (total != 5),
    ],
)
def test_a_condition_that_contradicts_itself_is_wrong(condition: Any) -> None:
    assert told(allow("pay", when=condition)) == [("allow-1", True)]
    assert not possible([condition])


@pytest.mark.parametrize(
    "condition",
    [
        (total <= 5) & (total >= 5),
        (total > 5) | (total < 1),
        total.is_in((1, 2)) & (total > 1),
        (total != 5) & (total != 6),
        (total > "a") & (total < "b"),
        (total > 5) & (arg("other") < 5),
        ~(total == 5),
    ],
)
def test_a_condition_that_some_call_meets_is_sound(condition: Any) -> None:
    assert told(allow("pay", when=condition)) == []


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ((allow("pay"), deny("pay")), "allow-1"),
        ((ask("pay"), allow("pay")), "allow-2"),
        ((allow("pay", when=total < 5), deny("pay", when=total < 10)), "allow-1"),
        ((allow("pay", when=total < 50), deny("pay", when=total <= 10), ask(when=total > 10)), "allow-1"),
        ((deny(), deny("pay")), "deny-2"),
        ((allow(), allow("pay", when=total < 5)), "allow-2"),
        ((ask("pay", effect=("submit",)), deny("pay")), "ask-1"),
        ((deny("pay", when=total < 5), deny("pay", when=total < 3)), "deny-2"),
    ],
)
def test_a_rule_that_others_always_outdo_is_odd(lines: tuple[Any, ...], rule: str) -> None:
    assert told(*lines) == [(rule, False)]


@pytest.mark.parametrize(
    "lines",
    [
        (allow("pay"), deny("pay", when=total > 5)),
        (allow("pay", when=total < 5), deny("pay", when=total < 4)),
        (allow(), deny("pay")),
        (ask("pay", role="a"), ask("pay", role="b")),
        (allow("pay", when=total < 5), allow("pay")),
        (allow("pay"), deny("pay", effect=("read",))),
    ],
)
def test_a_rule_that_can_decide_is_sound(lines: tuple[Any, ...]) -> None:
    assert told(*lines) == []


def test_a_tool_that_there_is_not_is_odd() -> None:
    assert told(allow("pya"), rate("pya", calls=1, per=_minute()), tools=TOOLS) == [("allow-1", False), ("rate of pya", False)]
    assert told(allow("openai:some-model"), tools=TOOLS) == []
    assert told(allow("pya")) == []


def test_an_effect_class_that_the_tool_is_not_is_wrong() -> None:
    assert told(deny("pay", effect=("read", "delete")), tools=TOOLS) == [("deny-1", True)]
    assert told(deny("pay", effect=("read", "submit")), tools=TOOLS) == []


def test_a_rule_about_who_vouches_where_nobody_does_is_odd() -> None:
    lines = (
        allow("pay", when=(total <= 5) & ~(label("to").integrity < "endorsed")),
        deny("pay", when=label("to").confidentiality > "internal"),
    )
    assert told(*lines, is_vouched=False) == [("allow-1", False)]
    assert told(*lines, is_vouched=True) == told(*lines) == []


def test_a_role_that_nobody_holds_is_odd() -> None:
    held = _roles(boss=["dana"], clerk=[])
    assert told(ask("pay", role="chief"), roles=held) == [("ask-1", False)]
    assert told(ask("pay", role="clerk"), roles=held) == [("ask-1", False)]
    assert told(ask("pay", role="boss", quorum=2), roles=held) == [("ask-1", False)]
    assert told(ask("pay", role="boss"), roles=held) == []
    assert told(ask("pay"), roles=held) == []


def _roles(**held: list[str]) -> Roles:
    return Roles(Path("guards/roles.toml"), {role: frozenset(names) for role, names in held.items()})


def _minute() -> Any:
    from datetime import timedelta

    return timedelta(minutes=1)
