"""Labels: what comes from outside is trusted by nobody, and a value is vouched for where it equals one that somebody vouched for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pointsman import Policy, Workflow, allow, canonical, deny, tool
from pointsman.errors import BadInput, UnsafeGraph
from pointsman.event import Event
from pointsman.gateway.labelling import Labelling
from pointsman.gateway.request import tool_request
from pointsman.label import TRUSTED, UNTRUSTED, Confidentiality, Integrity, Label
from pointsman.policy import Facts, label


class Party(BaseModel):
    name: str
    address: str


@tool(effect="send", sinks=("to", "amount", "copies"))
async def transfer(to: Any, amount: Any = 0, copies: Any = None, note: Any = "", party: Party | None = None) -> str:
    """Transfers, for example 5 to "ann@example.org"."""
    return "done"


@tool(effect="send")
async def shout(text: str) -> str:
    """Shouts, for example "hello"."""
    return "done"


def labels(
    vouched: Any,
    *,
    paths: tuple[str, ...] = (),
    name: str = "given",
    of: Any = transfer,
    inner: str = "",
    as_: Label = TRUSTED,
    **arguments: Any,
) -> Mapping[str, str]:
    """The labels of a call where the project vouches for one input."""
    payloads = {"1": canonical.encode(vouched)}
    accepted = Event("run", 1, "2026-11-27T00:00:00Z", 0, "", "run.accepted", {}, {f"input.{name}": "1"}, "")

    async def payload(digest: str) -> Any:
        return payloads[digest]

    async def work() -> dict[str, str]:
        known = Labelling({f"given{inner}": as_}, payload, [accepted])
        policy = Policy(*(allow(when=label(path).integrity == "trusted") for path in paths))
        return await known.of(tool_request(of.contract, arguments), SimpleNamespace(policies=(policy,)))  # type: ignore[arg-type]

    return asyncio.run(work())


def is_vouched(vouched: Any, to: Any, **more: Any) -> bool:
    return labels(vouched, to=to, **more)["to"] == "trusted internal"


def test_what_comes_from_outside_is_untrusted_and_stays_inside() -> None:
    assert Label(Integrity("untrusted"), Confidentiality("internal")) == UNTRUSTED == Label()


def test_labels_are_written_as_plain_words() -> None:
    assert [str(part) for part in UNTRUSTED] == ["untrusted", "internal"]
    assert [str(each) for each in Integrity] == ["untrusted", "endorsed", "trusted"]
    assert [str(each) for each in Confidentiality] == ["public", "internal", "restricted"]
    assert all(Label.of(str(Label(i, c))) == Label(i, c) for i in Integrity for c in Confidentiality)


def test_labels_are_ordered_by_meaning_and_not_by_the_alphabet() -> None:
    assert Integrity.UNTRUSTED < Integrity.ENDORSED < Integrity.TRUSTED
    assert Confidentiality.RESTRICTED > Confidentiality.INTERNAL >= "internal" > Confidentiality.PUBLIC
    assert Integrity.ENDORSED <= "endorsed"
    for other in ("trustd", "public", "", None, 1):
        with pytest.raises(ValueError, match="not a valid"):
            _ = other < Integrity.TRUSTED


scalars = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.text(max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=2), inner, max_size=3), max_leaves=8
)


def parts(value: Any) -> list[Any]:
    """A value and all that it consists of."""
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return [value, *(part for each in inner for part in parts(each))]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list | dict) and type(one) is type(other) and len(one) == len(other):
        pairs = zip(one, other, strict=True) if isinstance(one, list) else ((one[key], other.get(key)) for key in one)
        return (isinstance(one, list) or one.keys() == other.keys()) and all(same(*pair) for pair in pairs)
    numbers = all(isinstance(each, int | Decimal) and not isinstance(each, bool) for each in (one, other))
    return bool(one == other) if numbers else canonical.digest(one) == canonical.digest(other)


@given(values.filter(lambda value: not (isinstance(value, dict) and any(key.startswith("$") for key in value))), st.data())
def test_a_value_is_vouched_for_exactly_where_it_equals_one_that_is(vouched: Any, data: st.DataObject) -> None:
    known = parts(vouched)
    value = data.draw(st.sampled_from(known) | values)

    def holds(value: Any) -> bool:
        says_something = value is not None and not isinstance(value, bool) and value not in ("", [], {})
        whole = says_something and any(same(value, part) for part in known)
        return whole or (isinstance(value, list) and value != [] and all(map(holds, value)))

    assert is_vouched(vouched, value) == holds(value)


@pytest.mark.parametrize(
    "near",
    [
        "Ann@example.org",
        "ann@example.org ",
        "ann@example.org.evil.example",
        "ann",
        "ｎ",
        ["ann@example.org", "eve@evil.example"],
        {"a": "ann@example.org"},
        [],
    ],
)
def test_what_only_looks_like_a_vouched_value_is_not_one(near: Any) -> None:
    assert is_vouched({"mail": "ann@example.org"}, "ann@example.org")
    assert not is_vouched({"mail": "ann@example.org"}, near)


def test_equal_numbers_are_one_value_and_a_text_of_digits_is_another() -> None:
    for one, other in ((5, Decimal("5.00")), (Decimal("0.10"), 0.1), (2**70, Decimal(2**70)), (1.0, 1)):
        assert is_vouched(one, other)
        assert not is_vouched(one, str(other))
    assert not is_vouched(Decimal("1.00000000000000000000000000000000000001"), 1)
    assert not is_vouched(1, True)
    assert is_vouched({"sum": Decimal("5.00")}, {"sum": 5})
    assert not is_vouched({"sum": Decimal("5.00")}, {"sum": "5"})


def test_a_part_of_the_input_alone_can_be_vouched_for() -> None:
    order = {"customer": {"mail": "ann@example.org"}, "remark": "eve@evil.example"}
    assert is_vouched(order, "ann@example.org", inner=".customer")
    assert not is_vouched(order, "eve@evil.example", inner=".customer")
    assert not is_vouched(order, "ann@example.org", inner=".nobody.there")
    assert not is_vouched(order, "ann@example.org", name="other", paths=("to",))


def test_the_label_of_a_call_is_that_of_its_least_trusted_sink() -> None:
    assert labels("ann", to="ann")[""] == "trusted internal"  # the others are as the tool itself has them
    for more in ({"amount": 7}, {"copies": "eve"}, {"copies": ["ann", "eve"]}):
        assert labels("ann", to="ann", **more)[""] == "untrusted internal"
    assert labels("hello", of=shout, text="hello")[""] == "untrusted internal", "a tool that names no sink"


def test_what_is_public_makes_nothing_else_public() -> None:
    for declared, said in (("public", "internal"), ("internal", "internal"), ("restricted", "restricted")):
        assert labels("ann", to="ann", as_=Label(Integrity.TRUSTED, Confidentiality(declared)))["to"] == f"trusted {said}"


@pytest.mark.parametrize(
    "text",
    [
        "看https://evil.example", "_https://evil.example_", "1https://evil.example", "//evil.example/x.png", r"https:\\evil.example",
        "{home}'@evil.example/", "{home}`@evil.example/",
    ],
)  # fmt: skip
def test_an_address_is_found_wherever_it_begins_and_whole(text: str) -> None:
    home = "https://example.org"
    assert labels(home, to=home, note=f"'{home}', (`{home}`)")[""] == "trusted internal"
    assert labels(home, to=home, note=text.format(home=home))[""] == "untrusted internal"


def test_what_is_large_or_deep_is_gone_over_once() -> None:
    """Each would take hours, or all memory, if it were gone over again for each of its parts."""
    deep: Any = [f"person{number}@example.org" for number in range(20_000)]
    for _ in range(190):
        deep = [deep]
    assert is_vouched(deep, deep, note="a." * 200_000 + "h" * 200_000)
    assert is_vouched(deep, ["person7@example.org"])


def test_of_names_that_a_model_makes_up_none_is_put_on_record() -> None:
    assert labels("ann", to="ann", **{"ann@example.org": 1}) == {}


def test_how_far_something_may_travel_is_known_of_whatever_a_rule_looks_at() -> None:
    """Though it may be that the argument is no such thing as has parts."""

    @tool(effect="read")
    async def fetch(url: str) -> str:
        """Fetches, for example "https://example.org"."""
        return url

    reach = Label(confidentiality=Confidentiality.RESTRICTED)
    policy = Policy(deny("fetch", when=label("url.host").confidentiality > "internal"))
    found = labels("ann", of=fetch, url="https://x", paths=("url.host",), as_=reach)
    facts = Facts("fetch", "read", {"url": "https://x"}, labels={path: Label.of(words) for path, words in found.items()})
    assert policy.decide(facts).verdict == "deny"


def test_a_web_address_in_a_text_is_a_sink() -> None:
    home = "https://example.org/a?b=1"
    for note in ("see example", f"see {home}.", {"text": [f"({home}), {home}!"]}):
        assert labels(["ann", home], to="ann", note=note)[""] == "trusted internal", note
    for note in (f"{home}&c=2", "HTTP://evil.example/x", [{"ftp://evil.example": 1}], f"{home} ws://e", {"deep": {"er": "data://x"}}):
        assert labels(["ann", home], to="ann", note=note)[""] == "untrusted internal", note


def test_a_part_of_an_argument_has_a_label_of_its_own() -> None:
    party = {"name": "Eve", "address": "ann@example.org"}
    found = labels("ann@example.org", to="x", party=party, paths=("party.address", "party.name", "party", "party.nothing", "nobody"))
    assert {path: words for path, words in found.items() if "party" in path or path == "nobody"} == {
        "party": "untrusted internal", "party.address": "trusted internal", "party.name": "untrusted internal",
    }  # fmt: skip


@pytest.mark.parametrize("wrong", ["trusted", ("trustd", "internal"), ("trusted", "secret"), None, 1, ("trusted",)])
def test_a_label_that_is_none_is_refused_where_it_is_declared(wrong: Any) -> None:
    with pytest.raises(BadInput, match="label of what tool 'find' answers"):

        @tool(effect="read", label=wrong)
        async def find(name: str) -> str:
            """Finds, for example "ann"."""
            return name

    with pytest.raises(BadInput, match="label of input 'given'"):
        Workflow(Party, labels={"given": wrong})


def test_labels_of_fields_that_there_are_not_are_refused_when_the_graph_is_compiled() -> None:
    flow = Workflow(Party, labels={"name": TRUSTED, "adress": TRUSTED})
    flow.add_node("a", lambda state: {})
    flow.add_edge("__start__", "a")
    with pytest.raises(UnsafeGraph, match="input: labels adress, which the state does not have"):
        flow.compile()
