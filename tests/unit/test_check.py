"""The structural check: each finding where it is due, none where it is not, and a bound on the supersteps that holds."""

from __future__ import annotations

import operator
import warnings
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from pointsman import FAILED, Command, Limits, Send, Workflow, agent, allow, arg, ask, code, deny, effect, question, tool
from pointsman.check import Shape, supersteps, unmeant, unsound
from pointsman.errors import BadInput, UnsafeGraph
from pointsman.node import Node
from pointsman.policy import Policy
from pointsman.policy import node as at
from pointsman.policy.lint import PolicyWarning
from pointsman.sandbox import Sandbox


class State(TypedDict, total=False):
    name: str
    trail: Annotated[list[str], operator.add]


class Private(TypedDict):
    note: str


def step(state: State) -> State:
    return {}


def choose(state: State) -> str:
    return "a"


def send_all(state: State) -> list[Send]:
    return [Send("a", state)]


def jump(state: State) -> Command[Literal["b"]]:
    return Command(goto="b")


@tool(effect="send")
async def deliver(name: str) -> str:
    """Deliver it."""
    return name


def flow(*nodes: str, **options: Any) -> Workflow:
    made = Workflow(State, name="paper", policy=Policy(allow(deliver)), **options)
    for node in nodes:
        made.add_node(node, step)
    return made


def findings(made: Workflow) -> list[str]:
    try:
        made.compile()
    except UnsafeGraph as error:
        return error.findings
    return []


def test_a_sound_graph_has_no_finding() -> None:
    made = flow("a", "b").add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    assert findings(made) == []
    assert made.compile().plan.name == "paper"


def test_a_node_that_nothing_leads_to() -> None:
    (finding,) = findings(flow("a", "b").add_edge(START, "a").add_edge("a", END).add_edge("b", END))
    assert finding.startswith("b: no edge leads to it")


def test_an_exit_that_leads_nowhere() -> None:
    made = flow().add_node("send", effect(deliver, reads=("name",))).add_edge(START, "send").add_exits("send", done=END, denied=FAILED)
    (finding,) = findings(made)
    assert finding.startswith("send: its exits rejected, expired lead nowhere")
    assert findings(made.add_exits("send", default=END)) == []


def test_an_exit_that_there_is_not() -> None:
    made = flow().add_node("send", effect(deliver, reads=("name",))).add_edge(START, "send").add_exits("send", default=END, answered=END)
    assert any(finding.startswith("send: has no exit answered") for finding in findings(made))


def test_a_plain_edge_from_a_node_with_exits() -> None:
    made = flow("a").add_node("send", effect(deliver, reads=("name",))).add_edge(START, "send").add_exits("send", default=END)
    made.add_edge("send", "a").add_edge("a", END)
    (finding,) = findings(made)
    assert finding.startswith("send: has exits, so add_edge from it would take every one of them")


def test_a_cycle_without_a_bound() -> None:
    made = flow("a", "b").add_edge(START, "a").add_edge("a", "b").add_conditional_edges("b", choose, ["a", END])
    (finding,) = findings(made)
    assert "a cycle without a bound" in finding
    assert "a" in finding
    assert "b" in finding


def test_a_node_that_leads_to_itself_without_a_bound() -> None:
    (finding,) = findings(flow("a").add_edge(START, "a").add_conditional_edges("a", choose, ["a", END]))
    assert finding.startswith("a: a cycle without a bound")


def test_a_cycle_with_a_bound() -> None:
    made = (
        flow("b").add_node("a", step, max_visits=3).add_edge(START, "a").add_edge("a", "b").add_conditional_edges("b", choose, ["a", END])
    )
    assert [finding for finding in findings(made) if "cycle" in finding] == []


def test_one_bound_of_two_cycles_is_not_enough() -> None:
    """a-b is bounded by b, a-c is not."""
    made = flow("a", "c").add_node("b", step, max_visits=2).add_exits("b", limit=END)
    made.add_edge(START, "a").add_conditional_edges("a", choose, ["b", "c", END]).add_edge("c", "a").add_conditional_edges(
        "b", choose, ["a"]
    )
    assert any("a cycle without a bound" in finding for finding in findings(made))


def test_a_limit_that_is_not_routed() -> None:
    made = (
        flow("b").add_node("a", step, max_visits=3).add_edge(START, "a").add_edge("a", "b").add_conditional_edges("b", choose, ["a", END])
    )
    (finding,) = findings(made)
    assert finding.startswith("a: may reach its max_visits, and the exit limit is not routed")
    assert findings(made.add_exits("a", limit=END)) == []


def test_a_limit_that_leads_back_into_its_cycle_is_no_bound() -> None:
    """a's visits are used up, and a → b → a goes on for ever by the exit `limit`."""
    made = flow("b").add_node("a", step, max_visits=2).add_exits("a", limit="b").add_edge(START, "a")
    made.add_conditional_edges("a", choose, ["b", END]).add_edge("b", "a")
    assert any("cycle" in finding for finding in findings(made))


def test_a_limit_that_leads_to_another_bounded_node_of_the_cycle_is_one() -> None:
    """a hands over to b when its visits are used up, and b ends when its own are."""
    made = flow().add_node("a", step, max_visits=2).add_node("b", step, max_visits=2).add_edge(START, "a").add_edge("a", "b")
    made.add_exits("a", limit="b").add_exits("b", limit=END).add_conditional_edges("b", choose, ["a", END])
    assert [finding for finding in findings(made) if "cycle" in finding] == []


def test_conditional_edges_that_do_not_say_where_they_lead() -> None:
    made = flow("a").add_edge(START, "a").add_conditional_edges("a", choose)
    assert any(finding.startswith("a: its conditional edges do not say where they lead") for finding in findings(made))


def test_conditional_edges_say_it_by_their_annotation_too() -> None:
    def typed(state: State) -> Literal["b", "__end__"]:
        return "b"

    made = flow("a", "b").add_edge(START, "a").add_conditional_edges("a", typed).add_edge("b", END)
    assert findings(made) == []


def test_a_target_that_is_no_node() -> None:
    made = flow("a").add_edge(START, "a").add_conditional_edges("a", choose, ["a1", END])
    assert "a: leads to 'a1', which is no node" in findings(made)


def test_a_command_says_by_its_annotation_where_it_leads() -> None:
    made = flow("b").add_node("a", jump).add_edge(START, "a").add_edge("b", END)
    assert findings(made) == []
    assert made.compile().plan.descendants["a"] == ("b",)


def test_a_command_that_leads_to_no_node() -> None:
    assert "a: leads to 'b', which is no node" in findings(flow().add_node("a", jump).add_edge(START, "a"))


def test_destinations_of_a_command_count_as_its_annotation_does() -> None:
    def somewhere(state: State) -> Any:
        return Command(goto="b")

    assert findings(flow("b").add_node("a", somewhere, destinations=("b",)).add_edge(START, "a").add_edge("b", END)) == []
    (finding,) = findings(flow("b").add_node("a", somewhere).add_edge(START, "a").add_edge("b", END))
    assert finding.startswith("b: no edge leads to it")


def test_edges_that_send_without_a_bound() -> None:
    made = flow("a", "b").add_edge(START, "b").add_conditional_edges("b", send_all, ["a"]).add_edge("a", END)
    (finding,) = findings(made)
    assert finding.startswith("b: sends without a bound")
    bounded = flow("a", "b").add_edge(START, "b").add_conditional_edges("b", send_all, ["a"], max_items=5).add_edge("a", END)
    assert findings(bounded) == []


def test_edges_that_send_from_the_start_need_a_bound_as_well() -> None:
    made = flow("a").add_conditional_edges(START, send_all, ["a"]).add_edge("a", END)
    assert any("sends without a bound" in finding for finding in findings(made))


def spread(state: State) -> Command[Literal["a"]]:
    return Command(goto=[Send("a", state)])


@pytest.mark.parametrize(("bound", "finding"), [(None, "b: sends without a bound"), (0, "b: max_items=0, so it could never send"), (1, "")])
def test_whatever_sends_has_a_bound_that_lets_something_through(bound: int | None, finding: str) -> None:
    by_edge = flow("a", "b").add_conditional_edges("b", send_all, ["a"], max_items=bound)
    by_node = flow("a").add_node("b", spread, max_items=bound)
    for made in (by_edge, by_node):
        found = findings(made.add_edge(START, "b").add_edge("a", END))
        assert [told[: len(finding)] for told in found] == ([finding] if finding else [])


def test_every_finding_is_listed_in_one_error() -> None:
    made = flow("a", "b").add_node("send", effect(deliver, reads=("name",))).add_edge(START, "a").add_conditional_edges("a", choose)
    with pytest.raises(UnsafeGraph) as caught:
        made.compile()
    assert len(caught.value.findings) >= 4
    assert all(finding in str(caught.value) for finding in caught.value.findings)


def test_an_exploratory_graph_is_loaded_with_warnings() -> None:
    made = flow("a", "b", exploratory=True).add_edge(START, "a").add_edge("a", END).add_edge("b", END)
    with pytest.warns(UserWarning, match="b: no edge leads to it"):
        made.compile()


@pytest.mark.parametrize("name", ["failed", "quarantined", "__rerun__", "a/b", "a@1", "a#1", "a+1", "a\nb", "a\x00"])
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be named"):
        flow(name)


def test_an_exit_of_a_node_that_is_not_there() -> None:
    with pytest.raises(BadInput, match="no node 'a'"):
        flow().add_exits("a", default=END)


# The bound on supersteps, tried on graphs that really run.

NAMES = ("a", "b", "c", "d", "e")


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    names = NAMES[: draw(st.integers(1, 5))]
    nodes, arrows = {}, {START: (draw(st.sampled_from(names)),)}
    for name in names:
        visits = draw(st.none() | st.integers(1, 3))
        part = Node(kind="code", subject=step, execute=None, name=name, max_visits=visits)  # type: ignore[arg-type]
        part.edges = tuple(draw(st.lists(st.sampled_from((*names, END)), min_size=1, max_size=3, unique=True)))
        if visits is not None:
            part.routes["limit"] = draw(st.sampled_from((*names, END)))
        nodes[name], arrows[name] = part, tuple(dict.fromkeys((*part.edges, *part.routes.values())))
    return Shape("random", nodes, arrows)


def built(shape: Shape, choices: list[int], fan: bool) -> Any:
    """The graph as plain LangGraph: a bounded node goes to its limit route after `max_visits`; others where chance sends them."""
    graph, visits, chance = StateGraph(State), dict.fromkeys(shape.nodes, 0), iter(choices * 200)
    limited: dict[str, bool] = {}
    for name, part in shape.nodes.items():

        def body(state: State, name: str = name, part: Node = part) -> State:
            visits[name] += 1
            limited[name] = part.max_visits is not None and visits[name] > part.max_visits
            return {}

        def route(state: State, name: str = name) -> list[str]:
            if limited[name]:
                return [shape.nodes[name].routes["limit"]]
            targets = shape.nodes[name].edges
            return list(targets) if fan and next(chance) % 2 else [targets[next(chance) % len(targets)]]

        graph.add_node(name, body)
        graph.add_conditional_edges(name, route, [*shape.arrows[name], END])
    graph.add_edge(START, shape.arrows[START][0])
    return graph.compile()


@settings(max_examples=80)
@given(shapes(), st.lists(st.integers(0, 5), min_size=1, max_size=12), st.booleans())
def test_no_run_of_a_sound_graph_takes_more_supersteps_than_the_bound(shape: Shape, choices: list[int], fan: bool) -> None:
    if any("cycle" in finding for finding in unsound(shape)):
        return
    # LangGraph raises where the limit is reached and something is still to be done.
    built(shape, choices, fan).invoke({}, {"recursion_limit": supersteps(shape)})


@given(shapes())
def test_a_graph_with_an_endless_run_is_refused(shape: Shape) -> None:
    """Whatever can still be walked for ever when all visits are used up is found."""
    left = {name: part.edges if part.max_visits is None else (part.routes["limit"],) for name, part in shape.nodes.items()}
    free = {name: [target for target in targets if target != END] for name, targets in left.items()}

    def endless(name: str, path: tuple[str, ...]) -> bool:
        return any(target in path or endless(target, (*path, target)) for target in free[name])

    walkable = any(endless(name, (name,)) for name in shape.nodes)
    assert any("cycle without a bound" in finding for finding in unsound(shape)) == walkable


def test_the_bound_is_not_needlessly_wide() -> None:
    """A plain chain of n nodes takes n supersteps; a bound far above would catch no loop."""
    chain = flow("a", "b", "c").add_edge(START, "a").add_edge("a", "b").add_edge("b", "c").add_edge("c", END).compile()
    assert 3 <= chain.plan.supersteps <= 6


def test_a_cycle_through_an_error_handler_needs_a_bound_too() -> None:
    def again(state: State) -> Command[Literal["a"]]:
        return Command(goto="a")

    def made(**options: Any) -> Workflow:
        return flow().add_node("a", step, error_handler=again, **options).add_edge(START, "a")

    [finding] = findings(made())
    assert "a cycle without a bound" in finding
    assert findings(made(max_visits=2).add_exits("a", limit=END)) == []


def test_a_field_that_is_written_and_that_no_state_has_is_told() -> None:
    def reads_note(state: Private) -> State:
        return {}

    made = flow().add_node("a", effect(deliver, reads=("name",), writes="receipt")).add_edge(START, "a").add_exits("a", default=END)
    assert findings(made) == ["a: writes receipt, which the state does not have; add it to the state, or mend writes="]
    private = flow().add_node("a", effect(deliver, reads=("name",), writes="note")).add_node("b", reads_note)
    assert findings(private.add_edge(START, "a").add_exits("a", default="b")) == []


def test_a_field_that_is_read_and_that_no_state_has_is_told() -> None:
    asks = question("Well?", shows=("title",), returns=str, writes="name")
    made = flow().add_node("a", code(step, reads=("name", "title"))).add_node("b", asks)
    made.add_edge(START, "a").add_edge("a", "b").add_exits("b", default=END)
    assert findings(made) == [
        "a: reads title, which the state does not have; add it to the state, or mend reads=",
        "b: reads title, which the state does not have; add it to the state, or mend shows=",
    ]


def test_a_bound_that_lets_nothing_run_is_told() -> None:
    made = flow().add_node("a", step, max_visits=0).add_edge(START, "a").add_exits("a", limit=END)
    assert findings(made) == ["a: max_visits=0, so it would never run; let it be 1 or more, or remove the node"]


# What an agent may do that nobody has said on purpose


def acting(policy: Policy, whole: Limits | None = None, above: Policy | None = None, **terms: Any) -> list[str]:
    """What is found about an agent that may apply a change, in a workflow of this policy and with these limits on the whole, within one of the policy `above`."""
    made = Workflow(State, name="flow", policy=policy, limits=whole)
    effects = (Sandbox("etc").apply_change, deliver)
    made.add_node("mender", agent(reads=("name",), writes="name", returns=str, prompt="Mend it.", effects=effects, **terms))
    made.add_edge(START, "mender").add_exits("mender", default=END)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PolicyWarning)  # of rules that others outdo: see test_policy_lint.py
        graph = made.compile()
    return unmeant(graph.parts, above or graph.plan.rules.policy, graph.plan.rules.limits)


SMALL = arg("folder") == "etc"
DELIVER = allow("deliver")


@pytest.mark.parametrize(
    "lines",
    [
        (allow(),), (allow(effect=("overwrite",)),), (allow(), ask("apply_change", when=SMALL)), (allow(), allow("apply_change", when=SMALL)),
        (allow(when=at == "mender"),), (allow(), ask("apply_change", when=at == "other")), (allow(), ask(effect=("send",))),
    ],
)  # fmt: skip
def test_an_effect_of_an_agent_that_only_a_rule_about_everything_allows(lines: tuple[Any, ...]) -> None:
    [finding] = acting(Policy(DELIVER, *lines))
    assert finding.startswith("agent mender: it may apply_change (overwrite) without anybody being asked, and only rule allow-2 ")


@pytest.mark.parametrize(
    "lines",
    [
        (), (allow("apply_change"),), (ask("apply_change"),), (allow(), allow("apply_change")), (allow(), ask("apply_change")), (allow(), ask()),
        (allow(), deny(effect=("overwrite",))), (allow(), ask("apply_change", when=SMALL), allow("apply_change", when=~SMALL)),
        (allow(when=at == "other"),), (allow(effect=("read", "send")),),
    ],
)  # fmt: skip
def test_an_effect_of_an_agent_that_is_meant_or_asked_about_or_denied(lines: tuple[Any, ...]) -> None:
    assert acting(Policy(DELIVER, *lines)) == []


def test_each_effect_of_an_agent_counts_and_each_policy_it_stands_under() -> None:
    assert len(acting(Policy(allow()))) == 2
    assert acting(Policy(allow()), above=Policy(allow("deliver"), ask("apply_change"))) == []
    assert acting(Policy(allow()), above=Policy(allow("deliver"), allow("apply_change", when=SMALL))) == []
    assert len(acting(Policy(allow()), above=Policy(allow(), version="2"))) == 2


@pytest.mark.parametrize(
    ("terms", "limits", "found"),
    [
        ({"turns": 10**6}, None, "1000000 turns"),
        ({"limits": Limits(tool_calls=10**9)}, None, "1000000000 calls of tools"),
        ({"limits": Limits(model_calls=10**6)}, Limits(tool_calls=5), "1000000 calls of models"),
        ({"turns": 51, "limits": Limits(model_calls=10**6)}, Limits(seconds=float("inf")), "51 turns and 1000000 calls of models"),
        ({"turns": 50}, None, ""),
        ({"turns": 10**6}, Limits(usd=1), ""),
        ({"turns": 10**6, "limits": Limits(tokens=10_000)}, None, ""),
        ({"turns": 10**6}, Limits(model_calls=20), ""),
        ({"limits": Limits(tool_calls=10**9)}, Limits(seconds=60), ""),
        ({"limits": Limits(tool_calls=10**9)}, Limits(tool_calls=100), ""),
        ({}, Limits(tool_calls=10**9, model_calls=10**9), ""),
        ({}, None, ""),
    ],
)
def test_an_agent_of_many_calls_needs_a_cap_on_what_they_cost(terms: dict[str, Any], limits: Limits | None, found: str) -> None:
    told = acting(Policy(), limits, **terms)
    assert [finding.partition(" has ")[2].partition(", and nothing caps")[0] for finding in told] == ([found] if found else [])
