"""What a policy says of a call, and that it says no wherever it cannot tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pointsman.errors import BadInput
from pointsman.label import Confidentiality, Integrity, Label
from pointsman.policy import Facts, Need, Policy, Verdict, allow, arg, ask, deny, label, node, principal, rate, spend, strictest


@dataclass
class Order:
    total: Any
    supplier: str = "Acme"


def facts(total: Any = 100, *, tool: str = "pay", effect: str = "submit", **more: Any) -> Facts:
    return Facts(tool, effect, {"order": Order(total), "total": total}, **more)


small = Policy(allow("pay", when=arg("order.total") <= 500), ask("pay", when=arg("order.total") > 500, role="controller"), version="7")


@pytest.mark.parametrize(
    ("total", "verdict"), [(500, "allow"), (Decimal("500.00"), "allow"), (-1, "allow"), (500.01, "ask"), (10**400, "ask")]
)
def test_a_rule_looks_at_arguments(total: Any, verdict: str) -> None:
    assert small.decide(facts(total)).verdict == verdict


@pytest.mark.parametrize("total", [float("nan"), Decimal("NaN"), Decimal("sNaN"), None, "500", [], {}, object(), b"1", 1j])
def test_what_cannot_be_compared_is_denied(total: Any) -> None:
    decision = small.decide(facts(total))
    assert (decision.verdict, decision.rule) == (Verdict.DENY, "error")


@pytest.mark.parametrize("op", ["==", "!=", "in"])
@pytest.mark.parametrize("total", [float("nan"), Decimal("NaN")])
def test_not_a_number_is_denied_by_every_comparison(total: Any, op: str) -> None:
    """`NaN != 5` is true in Python, and would let everything pass."""
    subject = arg("total")
    condition = {"==": subject == 5, "!=": subject != 5, "in": subject.is_in((5, total))}[op]
    assert Policy(allow("pay", when=condition)).decide(facts(total)).verdict is Verdict.DENY
    assert Policy(allow("pay", when=~condition)).decide(facts(total)).verdict is Verdict.DENY


@pytest.mark.parametrize("path", ["order.sum", "oder.total", "order.total.cents", "total.x", "order.", ""])
def test_an_attribute_that_is_not_there_denies(path: str) -> None:
    assert Policy(allow("pay", when=arg(path) <= 500)).decide(facts()).rule == "error"
    assert Policy(allow("pay", when=~(arg(path) > 500))).decide(facts()).rule == "error"


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize("other", [True, False])
def test_conditions_combine_as_words_do(one: bool, other: bool) -> None:
    left, right = (arg("total") == 100) if one else (arg("total") != 100), (arg("total") >= 100) if other else (arg("total") < 100)
    for condition, true in (
        (left & right, one and other),
        (left | right, one or other),
        (~left, not one),
        (~(left & right), not (one and other)),
    ):
        assert condition.holds(facts(100)) is true
        assert Policy(allow("pay", when=condition)).decide(facts(100)).verdict is (Verdict.ALLOW if true else Verdict.DENY)


def test_an_error_in_either_side_is_an_error() -> None:
    """Otherwise the order of two conditions would decide."""
    true, broken = arg("total") == 100, arg("nothing") == 1
    for condition in (true | broken, broken | true, ~(true & broken), ~(broken & ~true)):
        assert Policy(allow("pay", when=condition)).decide(facts()).rule == "error"


def test_a_rule_that_cannot_be_evaluated_takes_the_others_with_it() -> None:
    """It might have been a deny."""
    assert Policy(allow("pay"), deny("pay", when=arg("nothing") > 1)).decide(facts()).verdict is Verdict.DENY
    assert Policy(allow("pay"), deny("refund", when=arg("nothing") > 1)).decide(facts()).verdict is Verdict.ALLOW


@pytest.mark.parametrize("effect", ["draft", "write", "send", "delete", "overwrite", "submit", "export", "execute", "", "unheard-of"])
def test_an_effect_that_no_rule_names_is_denied(effect: str) -> None:
    assert Policy().decide(facts(effect=effect)).verdict is Verdict.DENY
    assert small.decide(facts(tool="refund", effect=effect)).rule == "default-effect"


def test_a_read_that_no_rule_names_is_allowed() -> None:
    decision = Policy().decide(facts(effect="read"))
    assert (decision.verdict, decision.rule) == (Verdict.ALLOW, "default-read")
    assert Policy(deny("pay")).decide(facts(effect="read")).verdict is Verdict.DENY


def test_deny_wins_over_ask_and_ask_over_allow() -> None:
    rules = [allow("pay"), ask("pay", role="clerk"), deny("pay")]
    for order in (rules, rules[::-1], [rules[1], rules[2], rules[0]]):
        assert Policy(*order).decide(facts()).verdict is Verdict.DENY
    assert Policy(rules[0], rules[1]).decide(facts()).verdict is Verdict.ASK


def test_a_decision_names_its_rule_and_who_may_decide() -> None:
    policy = Policy(ask("pay", role="controller", expires=timedelta(days=1), name="large"), version="7")
    decision = policy.decide(facts())
    assert (decision.rule, decision.needs, decision.expires) == ("large", (Need("controller"),), timedelta(days=1))
    assert decision.reason == "rule large of policy 7"
    assert Policy(allow("x"), allow("pay")).decide(facts()).rule == "allow-2"


def test_rules_look_at_node_principal_spend_and_effect() -> None:
    place = {"node": "post", "principal": "dana", "spend": {"usd": Decimal("1.5")}}
    for condition in (node == "post", principal == "dana", spend("usd") > 1, spend("usd") <= Decimal("1.5")):
        assert Policy(allow(when=condition)).decide(facts(**place)).verdict is Verdict.ALLOW
        assert Policy(allow(when=~condition)).decide(facts(**place)).verdict is Verdict.DENY
    assert Policy(allow(effect=("send",))).decide(facts(effect="send")).verdict is Verdict.ALLOW
    assert Policy(allow(effect=("send",))).decide(facts(effect="delete")).verdict is Verdict.DENY
    assert Policy(allow(when=spend("usd") < 1)).decide(facts()).rule == "error"


@pytest.mark.parametrize("total", [1, True, "yes", [1], Order(1)])
def test_a_condition_has_no_truth_value(total: Any) -> None:
    """`arg("a") == 1 and …` would keep only its second half."""
    with pytest.raises(BadInput, match="& | ~"):
        bool(arg("total") == total)
    with pytest.raises(BadInput):
        _ = (arg("total") == total) and (arg("other") == total)


def test_equal_policies_have_one_digest_and_others_another() -> None:
    def made(limit: Any = 500, version: str = "1", role: str = "clerk") -> str:
        return Policy(allow("pay", when=arg("total") <= limit), ask("pay", role=role), version=version).digest()

    assert made() == made()
    assert len({made(), made(501), made(version="2"), made(role="controller"), made(Decimal(500))}) == 5


def test_every_part_of_a_rule_counts_in_the_digest() -> None:
    rules = [
        allow("pay"), ask("pay"), deny("pay"), allow(), allow("refund"), allow("pay", effect=("send",)), allow("pay", name="a"),
        ask("pay", role="a"), ask("pay", expires=timedelta(seconds=1)), allow("pay", when=arg("a") <= 1), allow("pay", when=arg("a") < 1),
        allow("pay", when=arg("b") <= 1), allow("pay", when=~(arg("a") <= 1)), allow("pay", when=(arg("a") <= 1) & (arg("b") <= 1)),
        allow("pay", when=(arg("a") <= 1) | (arg("b") <= 1)), allow("pay", when=arg("a").is_in((1,))),
    ]  # fmt: skip
    assert len({Policy(rule).digest() for rule in rules}) == len(rules)


@pytest.mark.parametrize("when", [True, "amount <= 50", 3, lambda call: call["amount"] <= 50], ids=type)
@pytest.mark.parametrize("rule", [allow, ask, deny])
def test_what_is_no_condition_is_refused(rule: Any, when: Any) -> None:
    with pytest.raises(BadInput, match=r"no condition.*arg\(\"amount\"\) <= 50"):
        rule("pay", when=when)


@pytest.mark.parametrize("effect", ["send", ("sned",), ("send", "Delete"), ()])
@pytest.mark.parametrize("rule", [allow, ask, deny])
def test_a_class_of_effects_that_there_is_not_is_refused(rule: Any, effect: Any) -> None:
    with pytest.raises(BadInput, match="a tuple of read, draft, .*, execute, model"):
        rule(effect=effect)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="one name"):
        Policy(allow("pay", name="a"), deny("pay", name="a"))


def test_rules_look_at_labels() -> None:
    """What has no label of its own came from outside."""
    call = facts(
        labels={
            "total": Label(Integrity.TRUSTED, Confidentiality.PUBLIC),
            "order.supplier": Label(Integrity.ENDORSED, Confidentiality.RESTRICTED),
        }
    )
    for condition, true in (
        (label("total").integrity == "trusted", True),
        (label("total").confidentiality > "public", False),
        (label("order").integrity > "untrusted", False),
        (label("order.supplier").integrity >= "endorsed", True),
        (label("order.supplier").confidentiality.is_in(("restricted",)), True),
        (label("order.total").confidentiality == "internal", True),
    ):
        assert Policy(allow("pay", when=condition)).decide(call).verdict is (Verdict.ALLOW if true else Verdict.DENY)
    assert Policy(allow("pay", when=label("nobody").integrity == "untrusted")).decide(call).rule == "error"


def test_a_label_is_compared_with_its_own_words_only() -> None:
    for make in (lambda: label("total").integrity == "trustd", lambda: label("total").confidentiality.is_in(("public", "trusted"))):
        with pytest.raises(BadInput, match="is never"):
            make()


def test_of_several_rules_that_ask_each_is_to_be_satisfied() -> None:
    small, large = ask("pay", role="clerk", expires=timedelta(days=3)), ask("pay", role="controller", quorum=2, expires=timedelta(days=1))
    for rules in ((small, large), (large, small)):
        decision = Policy(*rules).decide(facts())
        assert set(decision.needs) == {Need("clerk"), Need("controller", 2)}
        assert decision.expires == timedelta(days=1)
    decision = Policy(ask("pay"), ask("pay", not_by=("starter", "editor")), ask("pay", not_by=("editor", "starter"))).decide(facts())
    assert decision.needs == (Need(not_by=("starter", "editor")),), "what another one covers is not asked for besides"


def test_a_decision_names_every_rule_that_matched() -> None:
    policy = Policy(allow(name="all"), ask("pay", name="large"), deny("refund", name="never"), ask("pay", when=arg("total") > 500))
    decision = policy.decide(facts())
    assert (decision.rule, decision.matched) == ("large", ("all", "large"))
    assert policy.decide(facts(tool="refund")).matched == ("all", "never")
    broken = Policy(allow("pay"), deny("pay", when=arg("nothing") > 1, name="odd")).decide(facts())
    assert (broken.rule, broken.matched) == ("error", ("odd",))
    assert "odd" in broken.reason


def test_where_several_policies_hold_the_strictest_of_each_does() -> None:
    one, other = Policy(ask("pay", role="clerk", name="a")), Policy(allow(), ask("pay", role="boss", expires=timedelta(hours=1), name="b"))
    for policies in ((one, other), (other, one), (one, other, Policy(allow()))):
        decision = strictest([policy.decide(facts()) for policy in policies])
        assert decision.verdict is Verdict.ASK
        assert set(decision.needs) == {Need("clerk"), Need("boss")}
        assert decision.expires == timedelta(hours=1)
        assert {"a", "b"} <= set(decision.matched)
    assert strictest([one.decide(facts()), Policy().decide(facts())]).verdict is Verdict.DENY
    assert strictest([Policy(allow()).decide(facts()), Policy(allow()).decide(facts())]).verdict is Verdict.ALLOW


@pytest.mark.parametrize("calls", [0, -1, True, 1.5])
def test_a_rate_that_cannot_be_kept_is_refused(calls: Any) -> None:
    with pytest.raises(BadInput):
        rate("pay", calls=calls, per=timedelta(minutes=1))
    for per in (timedelta(0), timedelta(seconds=-1), timedelta(days=2)):
        with pytest.raises(BadInput):
            rate("pay", calls=1, per=per)


def test_rates_count_in_the_digest() -> None:
    made = [
        Policy(allow("pay"), *rates) for rates in ((), (rate("pay", calls=1, per=timedelta(1)),), (rate("pay", calls=2, per=timedelta(1)),))
    ]
    assert len({policy.digest() for policy in made}) == 3
