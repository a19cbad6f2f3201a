"""For every policy and every call: deciding is pure, deny wins, and more rules that allow never undo one that denies."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pointsman.label import Confidentiality, Integrity, Label
from pointsman.policy import Condition, Decision, Facts, Policy, Rule, Verdict, allow, arg, ask, deny, label, spend, strictest
from pointsman.policy.lint import lint
from pointsman.policy.range import possible
from pointsman.policy.revocation import KINDS, Revocation, Revocations

RANK = {Verdict.ALLOW: 0, Verdict.ASK: 1, Verdict.DENY: 2}

tools = st.sampled_from(["pay", "refund", "look_up"])
effects = st.sampled_from(["read", "send", "submit", "execute"])
things = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(max_size=3),
    st.just(10**400),
    st.lists(st.integers(), max_size=2),
)
arguments = st.dictionaries(
    st.sampled_from(["total", "to", "deep"]), things | st.dictionaries(st.just("x"), things, max_size=1), max_size=3
)
labels = st.dictionaries(st.sampled_from(["total", "to"]), st.builds(Label, st.sampled_from(Integrity), st.sampled_from(Confidentiality)))
people = st.sampled_from([None, "dana"])
calls = st.builds(
    Facts,
    tools,
    effects,
    arguments,
    node=st.sampled_from(["", "a"]),
    principal=people,
    labels=labels,
    spend=st.dictionaries(st.just("usd"), st.decimals(0, 9), max_size=1),
)


def compared(subject: Any) -> st.SearchStrategy[Condition]:
    bound = st.integers(-5, 5) | st.just(Decimal("0.5")) | st.just("a")
    made = [lambda b: subject <= b, lambda b: subject > b, lambda b: subject == b, lambda b: subject != b, lambda b: subject.is_in((b,))]
    return st.builds(lambda make, b: make(b), st.sampled_from(made), bound)


simple = st.sampled_from([arg("total"), arg("to"), arg("deep.x"), arg("missing"), spend("usd")]).flatmap(compared) | st.builds(
    lambda side, word: side >= word, st.just(label("to").integrity), st.sampled_from(Integrity)
)
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner), st.builds(lambda a, b: a | b, inner, inner), st.builds(lambda a: ~a, inner)
    ),
    max_leaves=4,
)
which = {"tool": st.none() | tools, "when": st.none() | conditions, "effect": st.none() | effects.map(lambda effect: (effect,))}
allows, asks, denies = (st.builds(make, **which) for make in (allow, ask, deny))
rules = st.lists(allows | asks | denies, max_size=6)


@given(calls)
def test_the_empty_policy_denies_every_effect(call: Facts) -> None:
    assert Policy().decide(call).verdict is (Verdict.ALLOW if call.effect == "read" else Verdict.DENY)


@given(rules, calls)
def test_deciding_is_pure_and_never_raises(given_rules: list[Rule], call: Facts) -> None:
    policy = Policy(*given_rules)
    first = policy.decide(call)
    assert policy.decide(call) == first
    assert Policy(*given_rules).decide(call) == first


@given(rules, allows, calls, st.data())
def test_an_allow_more_never_removes_a_deny(given_rules: list[Rule], more: Rule, call: Facts, data: st.DataObject) -> None:
    """Where a rule denied, or could not be evaluated, it still does; where a person was asked, one still is."""
    before = Policy(*given_rules).decide(call)
    place = data.draw(st.integers(0, len(given_rules)))
    after = Policy(*given_rules[:place], more, *given_rules[place:]).decide(call)
    if before.rule not in ("default-effect", "default-read"):
        assert RANK[after.verdict] >= RANK[before.verdict]


@given(rules, denies | asks, calls, st.data())
def test_a_deny_or_an_ask_more_never_widens_what_was_decided_by_a_rule(
    given_rules: list[Rule], more: Rule, call: Facts, data: st.DataObject
) -> None:
    before = Policy(*given_rules).decide(call)
    place = data.draw(st.integers(0, len(given_rules)))
    after = Policy(*given_rules[:place], more, *given_rules[place:]).decide(call)
    if before.rule != "default-effect":  # an ask opens what nothing allowed: to a person, not to the call
        assert RANK[after.verdict] >= RANK[before.verdict]
    else:
        assert after.verdict is not Verdict.ALLOW


@given(rules, calls)
def test_the_order_of_rules_does_not_change_the_verdict(given_rules: list[Rule], call: Facts) -> None:
    assert Policy(*given_rules).decide(call).verdict is Policy(*reversed(given_rules)).decide(call).verdict


@given(rules, calls)
def test_a_matching_deny_wins_over_everything(given_rules: list[Rule], call: Facts) -> None:
    assert Policy(*given_rules, deny()).decide(call).verdict is Verdict.DENY


@given(rules, calls)
def test_what_is_allowed_rests_on_a_rule_that_allows(given_rules: list[Rule], call: Facts) -> None:
    decision = Policy(*given_rules).decide(call)
    if decision.verdict is Verdict.ALLOW and decision.rule != "default-read":
        rule = given_rules[int(decision.rule.rpartition("-")[2]) - 1]
        assert rule.verdict is Verdict.ALLOW
        assert rule.is_about(call.tool, call.effect)
        assert rule.when is None or rule.when.holds(call)


@given(conditions, calls)
def test_a_condition_is_true_or_false_or_an_error(condition: Condition, call: Facts) -> None:
    """Never a value that only counts as true; and its negation is the opposite, or fails with it."""
    outcomes = []
    for each in (condition, ~condition):
        try:
            outcomes.append(each.holds(call))
        except Exception:
            outcomes.append(None)
    assert outcomes in ([True, False], [False, True], [None, None])


@given(rules)
def test_equal_rules_have_one_digest(given_rules: list[Rule]) -> None:
    assert Policy(*given_rules).digest() == Policy(*given_rules).digest()


revoked = st.lists(
    st.builds(
        Revocation, st.integers(1, 9), st.sampled_from(KINDS), tools | st.sampled_from(["dana", "allow-1", "ask-1", "deny-1", "default-read"]),
        by=st.just("lee"), reason=st.just(""),
    ),
    max_size=4,
)  # fmt: skip


def narrowed(known: list[Revocation], decision: Decision, call: Facts) -> Decision:
    struck = Revocations(known).against(decision, tool=call.tool, principal=call.principal)
    return decision if struck is None else struck.denial(decision)


@given(rules, calls, revoked, revoked)
def test_a_revocation_never_lets_anything_pass(
    given_rules: list[Rule], call: Facts, some: list[Revocation], more: list[Revocation]
) -> None:
    decision = Policy(*given_rules).decide(call)
    with_some, with_all = narrowed(some, decision, call), narrowed([*some, *more], decision, call)
    assert RANK[decision.verdict] <= RANK[with_some.verdict] <= RANK[with_all.verdict]
    assert with_some.verdict in (decision.verdict, Verdict.DENY)


@given(rules, calls, st.sampled_from(KINDS))
def test_what_was_revoked_is_denied(given_rules: list[Rule], call: Facts, kind: str) -> None:
    decision = Policy(*given_rules).decide(call)
    for name in {"principal": [call.principal], "tool": [call.tool], "rule": [decision.rule, *decision.matched]}[kind]:
        if name is not None:
            assert narrowed([Revocation(1, kind, name, "lee", "")], decision, call).verdict is Verdict.DENY


@given(st.lists(rules, min_size=1, max_size=3), calls)
def test_where_several_policies_hold_none_of_them_is_widened(policies: list[list[Rule]], call: Facts) -> None:
    """The verdict is the strictest, and whoever satisfies what all ask together satisfies what each asks."""
    each = [Policy(*policy).decide(call) for policy in policies]
    together = strictest(each)
    assert RANK[together.verdict] == max(RANK[decision.verdict] for decision in each)
    if together.verdict is Verdict.ASK:
        wanted = [need for decision in each if decision.verdict is Verdict.ASK for need in decision.needs]
        assert all(any(need.covers(one) for need in together.needs) for one in wanted)
        assert together.needs


@given(conditions, calls)
def test_what_the_linter_calls_impossible_never_is(condition: Condition, call: Facts) -> None:
    try:
        held = condition.holds(call)
    except Exception:
        return
    assert possible([condition]) or not held
    assert possible([], fails=[condition]) or held


@given(rules, calls)
def test_a_rule_that_the_linter_says_never_decides_never_does(given_rules: list[Rule], call: Facts) -> None:
    policy = Policy(*given_rules)
    dead = {finding.rule for finding in lint(policy)}
    assert policy.decide(call).rule not in dead
